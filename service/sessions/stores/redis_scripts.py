"""What a Redis server does in one step. All keys of a tenant share a hash tag, so a script may touch several sessions.

KEYS begin with record, state, chunks, keys and snapshots of one session, and its tenant's open sessions. A row in
ARGV is seven values: incarnation, version, status, the packed record, the milliseconds after which Redis may drop the
session by itself, empty for never, the id, and when it expires, empty if it is not open.
"""

from typing import Final

_PRELUDE: Final = """
local record, state, chunks, keys, snapshots, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local function row()
  return redis.call('HMGET', record, 'incarnation', 'version', 'status', 'data')
end
local function live(milliseconds)
  for at = 1, 5 do
    if milliseconds == '' then redis.call('PERSIST', KEYS[at])
    else redis.call('PEXPIRE', KEYS[at], milliseconds) end
  end
end
local function write(at)
  redis.call('HSET', record, 'incarnation', ARGV[at], 'version', ARGV[at + 1],
    'status', ARGV[at + 2], 'data', ARGV[at + 3])
  live(ARGV[at + 4])
  if ARGV[at + 6] == '' then redis.call('ZREM', open, ARGV[at + 5])
  else redis.call('ZADD', open, ARGV[at + 6], ARGV[at + 5]) end
end
local function holds(incarnation, version, also)
  local found = row()
  return found[1] == incarnation and (version == '' or found[2] == version)
    and (found[3] == 'open' or found[3] == also)
end
"""

DRAFT: Final = """
for at = 2, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
"""KEYS: draft. ARGV: milliseconds it is kept, sequence numbers and chunks."""

BEGIN: Final = (
    _PRELUDE
    + """
local requests, draft, source, holder = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
if ARGV[11] ~= '' then
  local held = redis.call('HMGET', requests, ARGV[11], ARGV[12])
  if (held[1] or '') ~= ARGV[15] or (held[2] or '') ~= ARGV[16] then return 'key_taken' end
  if (held[1] or held[2]) and (redis.call('HGET', holder, 'request') or '') ~= ARGV[17] then
    return 'key_taken'
  end
end
if ARGV[18] ~= '' then
  local found = redis.call('HMGET', source, 'incarnation', 'status')
  if found[1] ~= ARGV[18] or found[2] ~= 'open' then return 'source_gone' end
end
if redis.call('EXISTS', record) == 1 then return 'id_taken' end
if redis.call('ZCOUNT', draft, ARGV[19], '+inf') ~= tonumber(ARGV[20]) then return 'draft_gone' end
redis.call('SET', state, ARGV[1])
redis.call('UNLINK', chunks, keys, snapshots)
if ARGV[20] ~= '0' then
  redis.call('RENAME', draft, chunks)
  redis.call('ZREMRANGEBYSCORE', chunks, '-inf', '(' .. ARGV[19])
end
redis.call('HSET', record, 'traits', ARGV[9], 'request', ARGV[10])
if ARGV[11] ~= '' then redis.call('HSET', requests, ARGV[11], ARGV[13], ARGV[12], ARGV[14]) end
write(2)
return 'begun'
"""
)
"""KEYS: also the tenant's requests, the draft with the chunks, the source's record, and the record of the session that
the request's key is seen to stand for. ARGV: state, row, traits, name of the request; then the key of the request, or
empty, its second name, their values, the values seen there, and the name of the holder's request as seen, which make
the key free if they still stand; the incarnation of the source, or empty; the number of the first chunk, and how many.

Whoever called has seen that the session that the key stood for is gone: Redis dropped it by itself.
"""

COMMIT: Final = (
    _PRELUDE
    + """
if not holds(ARGV[2], ARGV[1], 'open') then return 0 end
if redis.call('EXISTS', state) == 0 then return -1 end
redis.call('SET', state, ARGV[9])
redis.call('ZADD', chunks, ARGV[10], ARGV[11])
if ARGV[12] ~= '0' then redis.call('ZREMRANGEBYSCORE', chunks, '-inf', '(' .. ARGV[12]) end
if ARGV[13] ~= '0' then
  redis.call('HSET', snapshots, ARGV[14], ARGV[15] .. ARGV[9])
  local kept = redis.call('HKEYS', snapshots)
  table.sort(kept, function(one, other) return (tonumber(one) or 0) > (tonumber(other) or 0) end)
  for at = ARGV[13] + 1, #kept do redis.call('HDEL', snapshots, kept[at]) end
end
for at = 16, #ARGV, 2 do redis.call('HSET', keys, ARGV[at], ARGV[at + 1]) end
write(2)
return 1
"""
)
"""ARGV: expected version, row, state, sequence number, chunk, number to forget before, how many snapshots to
keep, or 0, number and checksum of the one that `state` is, names and values of keys.

-1 if there is no state to replace. Of these the first write is the one that is refused for want of memory.
"""

REPLACE: Final = (
    _PRELUDE
    + """
if not holds(ARGV[2], ARGV[1], ARGV[9]) then return 0 end
-- It needs no memory, and after a first write a script is refused none: deleting works where storing does not.
redis.call('PERSIST', record)
if ARGV[10] == '1' then
  redis.call('UNLINK', state, chunks, keys, snapshots)
  redis.call('HDEL', record, 'traits')
end
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
redis.call('ZREM', open, ARGV[7])
return 1
"""
)
"""ARGV: the four fields that do not verify, incarnation, version, id."""

FORGET: Final = (
    _PRELUDE
    + """
local found = row()
for at = 1, 3 do if found[at] ~= ARGV[at] then return 0 end end
redis.call('UNLINK', record, state, chunks, keys, snapshots)
redis.call('ZREM', open, ARGV[4])
for at = 5, #ARGV do redis.call('HDEL', KEYS[7], ARGV[at]) end
return 1
"""
)
"""KEYS: also the tenant's requests. ARGV: incarnation, version, status, id, both names of the request that began it."""

DROPPED: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[1]) end
"""
"""KEYS: record, the tenant's open sessions. ARGV: id. For a session that Redis has dropped by itself."""

READ: Final = _PRELUDE + "return {row(), redis.call('GET', state)}"

CHUNKS: Final = (
    _PRELUDE
    + """
return {row(), redis.call('ZRANGEBYSCORE', chunks, ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])}
"""
)
"""ARGV: first sequence number, limit."""
