"""How sessions begin in Redis: chunks are laid out as a draft page by page, then one script makes a session of it all.

A draft that nothing came of is dropped by Redis itself.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from service.errors import Unavailable
from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, begun_record
from service.sessions.records import ChunkRecord, SessionRecord
from service.sessions.stores import redis_origin_rows as origin_rows
from service.sessions.stores import redis_rows as rows
from service.sessions.stores import redis_scripts as scripts
from service.sessions.stores.base import CorruptRow, require_whole
from service.sessions.stores.checksum import mirrored
from service.sessions.stores.redis_server import RedisServer

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
    record, source, request = beginning.record, beginning.source, beginning.request
    keys = rows.session_keys(record.tenant, record.id)
    draft = f"{keys[0]}:draft:{secrets.token_hex(8)}"
    if source is None:
        for at in range(0, len(beginning.chunks), PAGE):
            await _lay_out(server, draft, record, beginning.chunks[at : at + PAGE])
    else:
        # Should it be gone, the script finds the same, and says so in its turn.
        record = await _copy(server, draft, record, source) or record
    holder = keys[0] if source is None else rows.session_keys(source.tenant, source.id)[0]
    others = (rows.requests_key(record.tenant), draft, holder, seen.holder or keys[0])
    all_keys = (*rows.script_keys(record.tenant, record.id), *others)
    claim: tuple[str | bytes, ...] = ("",) * 7
    if request is not None:
        names = (request.key, mirrored(request.key))
        claim = (
            *names,
            *origin_rows.pack_request(record.tenant, request),
            *seen.values,
            seen.name,
        )
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
    outcome = (await server.script(scripts.BEGIN, all_keys, values)).decode()
    if outcome == "draft_gone":
        raise Unavailable("store_unavailable", "the session store was too slow; nothing was stored")
    return cast("BeginOutcome", outcome)


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
