"""What a Redis server does in one step. Every script touches the four keys of one session, which share a hash tag.

KEYS are always record, state, chunks, keys. A row in ARGV is five values: incarnation, version, status, the packed
record, and the milliseconds after which Redis may drop the session by itself, empty for never.
"""

from typing import Final

_PRELUDE: Final = """
local record, state, chunks, keys = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function row()
  return redis.call('HMGET', record, 'incarnation', 'version', 'status', 'data')
end
local function live(milliseconds)
  for _, name in ipairs(KEYS) do
    if milliseconds == '' then redis.call('PERSIST', name)
    else redis.call('PEXPIRE', name, milliseconds) end
  end
end
local function write(at)
  redis.call('HSET', record, 'incarnation', ARGV[at], 'version', ARGV[at + 1],
    'status', ARGV[at + 2], 'data', ARGV[at + 3])
  live(ARGV[at + 4])
end
local function holds(incarnation, version, also)
  local found = row()
  return found[1] == incarnation and (version == '' or found[2] == version)
    and (found[3] == 'open' or found[3] == also)
end
"""

CREATE: Final = (
    _PRELUDE
    + """
if redis.call('EXISTS', record) == 1 then return 0 end
redis.call('UNLINK', chunks, keys)
redis.call('SET', state, ARGV[1])
write(2)
return 1
"""
)
"""ARGV: state, row."""

COMMIT: Final = (
    _PRELUDE
    + """
if not holds(ARGV[2], ARGV[1], 'open') then return 0 end
if redis.call('EXISTS', state) == 0 then return -1 end
redis.call('SET', state, ARGV[7])
redis.call('ZADD', chunks, ARGV[8], ARGV[9])
if ARGV[10] ~= '0' then redis.call('ZREMRANGEBYSCORE', chunks, '-inf', '(' .. ARGV[10]) end
for at = 11, #ARGV, 2 do redis.call('HSET', keys, ARGV[at], ARGV[at + 1]) end
write(2)
return 1
"""
)
"""ARGV: expected version, row, state, sequence number, chunk, number to forget before, names and values of keys.

-1 if there is no state to replace. Of these the first write is the one that is refused for want of memory.
"""

REPLACE: Final = (
    _PRELUDE
    + """
if not holds(ARGV[2], ARGV[1], ARGV[7]) then return 0 end
-- It needs no memory, and after a first write a script is refused none: deleting works where storing does not.
redis.call('PERSIST', record)
if ARGV[8] == '1' then redis.call('UNLINK', state, chunks, keys) end
write(2)
return 1
"""
)
"""ARGV: expected version or empty, row, a status beside `open` that may be replaced, 1 to remove all but the record."""

QUARANTINE: Final = (
    _PRELUDE
    + """
local found = row()
for at = 1, 4 do if (found[at] or '') ~= ARGV[at] then return 0 end end
live('')
redis.call('HSET', record, 'incarnation', ARGV[5], 'version', ARGV[6], 'status', 'lost')
return 1
"""
)
"""ARGV: the four fields that do not verify, incarnation, version."""

FORGET: Final = (
    _PRELUDE
    + """
local found = row()
for at = 1, 3 do if found[at] ~= ARGV[at] then return 0 end end
redis.call('UNLINK', record, state, chunks, keys)
return 1
"""
)
"""ARGV: incarnation, version, status."""

READ: Final = _PRELUDE + "return {row(), redis.call('GET', state)}"

CHUNKS: Final = (
    _PRELUDE
    + """
return {row(), redis.call('ZRANGEBYSCORE', chunks, ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])}
"""
)
"""ARGV: first sequence number, limit."""
