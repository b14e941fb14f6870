"""How sessions begin in Redis: chunks are laid out as a draft page by page, then one script makes a session of it all.

A draft that nothing came of is removed, and dropped by Redis itself if that fails.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from service.errors import ServiceError, Unavailable
from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, begun_record
from service.sessions.records import ChunkRecord, SessionRecord
from service.sessions.stores import redis_origin_rows as origin_rows
from service.sessions.stores import redis_rows as rows
from service.sessions.stores import redis_scripts as scripts
from service.sessions.stores.base import CorruptRow, require_whole
from service.sessions.stores.checksum import mirrored
from service.sessions.stores.redis_server import Argument, RedisServer

PAGE: Final = 256
"""Chunks copied at once; some 400 KB."""
DRAFT_SECONDS: Final = 600
"""Longest time from one page of a draft to the next."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is seen under the key of a request that began a session.

    Attributes:
        values: Under its two names; empty for nothing.
        request: What it stands for; None if that is gone, so that the key is free.
        holder: Key of the record of the session that it names.
        name: What stands there as the name of the request.
    """

    values: tuple[bytes, bytes] = (b"", b"")
    request: RequestRecord | None = None
    holder: str = ""
    name: bytes = b""


async def held(server: RedisServer, tenant: str, key: str) -> Held:
    """Look what a request's key stands for.

    Redis drops a session by itself if no sweep comes, and then nothing of this: what names a session that is not there,
    or is another one, stands for nothing.

    Raises:
        CorruptRow: There is something that does not verify.
    """
    names = (key, mirrored(key))
    found: Any = await server.call(lambda redis: redis.hmget(rows.requests_key(tenant), names))
    request = origin_rows.read_request(found, tenant, key)
    if request is None:
        return Held()
    holder = rows.session_keys(tenant, request.session_id)[0]
    there: Any = await server.call(lambda redis: redis.hmget(holder, (*rows.FIELDS, "request")))
    *row, name = there
    stands = any(row) and _is_named(name, tenant, request)
    values = (found[0] or b"", found[1] or b"")
    return Held(values, request if stands else None, holder, name or b"")


async def begin(server: RedisServer, beginning: Beginning, seen: Held) -> BeginOutcome:
    """Begin a session.

    Args:
        server: Where.
        beginning: The session.
        seen: What the request's key, if it has one, was seen to stand for: nothing.

    Raises:
        CorruptRow: What is stored of its source does not verify.
    """
    record = beginning.record
    draft = f"{rows.session_keys(record.tenant, record.id)[0]}:draft:{secrets.token_hex(8)}"
    if not beginning.chunks and beginning.source is None:
        return await _finish(server, beginning, seen, draft)
    # A history is long, and most of what is refused can be refused before any of it is laid out.
    asked = _arguments(replace(beginning, state=b""), seen, draft)
    if found := (await server.script(scripts.MAY_BEGIN, *asked)).decode():
        return cast("BeginOutcome", found)
    outcome: BeginOutcome | None = None
    try:
        laid_out = await _lay_out_all(server, beginning, draft)
        outcome = await _finish(server, laid_out, seen, draft)
    finally:
        if outcome != "begun":
            await _drop(server, draft)
    return outcome


async def _lay_out_all(server: RedisServer, beginning: Beginning, draft: str) -> Beginning:
    """Lay out the chunks that a session begins with; return it with the record that goes with them."""
    record, source = beginning.record, beginning.source
    if source is not None:
        # Should it be gone, the script finds the same, and says so in its turn.
        copied = await _copy(server, draft, record, source)
        return beginning if copied is None else replace(beginning, record=copied)
    for at in range(0, len(beginning.chunks), PAGE):
        await _lay_out(server, draft, record, beginning.chunks[at : at + PAGE])
    return beginning


async def _finish(
    server: RedisServer, beginning: Beginning, seen: Held, draft: str
) -> BeginOutcome:
    """Make a session of a draft."""
    found = (await server.script(scripts.BEGIN, *_arguments(beginning, seen, draft))).decode()
    if found == "draft_gone":
        raise Unavailable("store_unavailable", "the session store was too slow; nothing was stored")
    return cast("BeginOutcome", found)


async def _drop(server: RedisServer, draft: str) -> None:
    """Remove a draft of which nothing came; one that became a session has its name no more."""
    with suppress(ServiceError):
        await server.call(lambda redis: redis.unlink(draft))


def _arguments(
    beginning: Beginning, seen: Held, draft: str
) -> tuple[tuple[str, ...], tuple[Argument, ...]]:
    """Return KEYS and ARGV of `scripts.BEGIN`."""
    record, source, request = beginning.record, beginning.source, beginning.request
    own = rows.session_keys(record.tenant, record.id)[0]
    holder = own if source is None else rows.session_keys(source.tenant, source.id)[0]
    others = (rows.requests_key(record.tenant), draft, holder, seen.holder or own)
    claim: tuple[str | bytes, ...] = ("",) * 7
    if request is not None:
        names = (request.key, mirrored(request.key))
        packed = origin_rows.pack_request(record.tenant, request)
        claim = (*names, *packed, *seen.values, seen.name)
    values = (
        beginning.state,
        *rows.pack_session(record),
        origin_rows.pack_traits(record.tenant, record.id, beginning.traits),
        origin_rows.pack_name(record.tenant, record.id, request),
        *claim,
        "" if source is None else source.incarnation,
        record.kept_from,
        record.next_seq - record.kept_from,
    )
    return (*rows.script_keys(record.tenant, record.id), *others), values


async def _copy(
    server: RedisServer, draft: str, record: SessionRecord, source: SessionRecord
) -> SessionRecord | None:
    """Lay out the kept chunks of a source; return the record that goes with them, None if the source is gone."""
    name, after = (source.tenant, source.id), 0
    while True:
        fields, pairs = await server.script(scripts.CHUNKS, rows.script_keys(*name), (after, PAGE))
        found = rows.read_session(fields, *name)
        if found is None or (found.incarnation, found.status) != (source.incarnation, "open"):
            return None
        chunks = rows.read_chunks(pairs, *name)
        require_whole(chunks, found, after, PAGE)
        shared = [chunk for chunk in chunks if chunk.seq < record.next_seq]
        await _lay_out(server, draft, record, shared)
        if len(shared) < PAGE:
            return begun_record(record, found)
        after = shared[-1].seq + 1


async def _lay_out(
    server: RedisServer, draft: str, record: SessionRecord, chunks: Sequence[ChunkRecord]
) -> None:
    if not chunks:
        return
    values: list[int | bytes] = [DRAFT_SECONDS * 1000]
    for chunk in chunks:
        values += [chunk.seq, rows.pack_chunk(record.tenant, record.id, chunk)]
    await server.script(scripts.DRAFT, (draft,), values)


def _is_named(name: bytes | None, tenant: str, request: RequestRecord) -> bool:
    """Whether a session was begun by a request; one that cannot be told counts as begun by it."""
    try:
        return origin_rows.read_name(name, tenant, request.session_id) == request.key
    except CorruptRow:
        return True
