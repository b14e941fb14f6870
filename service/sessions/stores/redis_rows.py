"""Rows of the Redis store: names of keys, and values as bytes that begin with their checksum."""

import struct
from dataclasses import astuple, replace
from typing import Final
from urllib.parse import quote

import orjson

from service.sessions.changes import lost_record
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores.base import CorruptRow
from service.sessions.stores.checksum import checksum, mirrored

PREFIX: Final = "longstream:"
DUE: Final = f"{PREFIX}due"
"""Sorted set of all sessions that a sweep has something to do with, by time; a hint, the records decide."""
HEARTBEAT: Final = f"{PREFIX}heartbeat"
FIELDS: Final = ("incarnation", "version", "status", "data")
"""Of a session's hash; `data` is the whole record, the others are what scripts compare. Also `traits` and `request`,
which say how it began: see `redis_origin_rows`."""
SLACK_SECONDS: Final = 3600.0
"""How much later than a sweep Redis drops a session by itself, so that clocks need not agree."""

CRC: Final = struct.Struct("<I")
_CHUNK: Final = struct.Struct("<QQQH")
_SEQ: Final = struct.Struct("<Q")


def session_keys(tenant: str, session_id: str) -> tuple[str, str, str, str, str]:
    """Return the keys of a session's record, state, chunks, idempotency keys and snapshots.

    All keys of a tenant lie in one slot of a cluster: a fork is one step, and so is a request that begins a session.
    """
    stem = f"{PREFIX}{{{quote(tenant, safe='')}}}/{quote(session_id, safe='')}"
    return f"{stem}:record", f"{stem}:state", f"{stem}:chunks", f"{stem}:keys", f"{stem}:snapshots"


def script_keys(tenant: str, session_id: str) -> tuple[str, ...]:
    """Return the keys every script begins with: a session's, and that of the tenant's open sessions."""
    return (*session_keys(tenant, session_id), open_key(tenant))


def open_key(tenant: str) -> str:
    """Return the key of a tenant's open sessions by the time at which they expire; scripts keep it as they write."""
    return f"{PREFIX}{{{quote(tenant, safe='')}}}:open"


def ids_key(tenant: str) -> str:
    """Return the key of a tenant's session ids, in order; a hint, the records decide."""
    return f"{PREFIX}ids:{quote(tenant, safe='')}"


def due_member(tenant: str, session_id: str) -> str:
    """Return the name of a session among those of all tenants."""
    return f"{quote(tenant, safe='')}/{quote(session_id, safe='')}"


def requests_key(tenant: str) -> str:
    """Return the key of what the requests that began a tenant's sessions stand for."""
    return f"{PREFIX}{{{quote(tenant, safe='')}}}:requests"


def pack_session(
    record: SessionRecord,
) -> tuple[str, int, str, bytes, int | str, str, float | str]:
    """Return a row as scripts take it; see `redis_scripts`."""
    body = orjson.dumps(astuple(record))
    data = CRC.pack(checksum(body)) + body
    compared = (record.incarnation, record.version, record.status)
    return (*compared, data, _life(record), record.id, _open_until(record))


def read_session(fields: list[bytes | None], tenant: str, session_id: str) -> SessionRecord | None:
    """Return the record of a session's four fields, None if there are none.

    Raises:
        CorruptRow: They do not verify, and are not in quarantine for that.
    """
    if not any(fields):
        return None
    incarnation, version, status, data = (field or b"" for field in fields)
    record = _unpacked(data)
    if record is not None:
        compared = (record.incarnation, str(record.version), record.status)
        named = (record.tenant, record.id) == (tenant, session_id)
        if named and compared == (
            incarnation.decode(errors="replace"),
            _text(version),
            _text(status),
        ):
            return record
    if status == b"lost":
        found = lost_record(tenant, session_id, _text(incarnation), 0.0)
        return replace(found, version=int(version) if version.isdigit() else 0)
    raise CorruptRow("session")


def pack_chunk(tenant: str, session_id: str, chunk: ChunkRecord) -> bytes:
    """Return a chunk as bytes that belong to this session and no other."""
    numbers = _CHUNK.pack(chunk.seq, chunk.tokens, chunk.token_start, len(chunk.digest))
    body = numbers + chunk.digest + chunk.embedding
    return CRC.pack(checksum(tenant, session_id, body)) + body


def read_chunk(data: bytes, score: bytes, tenant: str, session_id: str) -> ChunkRecord:
    """Return the chunk of a sorted set's member; raises `CorruptRow`."""
    body = verified(data, f"chunk {_text(score)}", tenant, session_id)
    seq, tokens, token_start, width = _CHUNK.unpack_from(body)
    if float(score) != seq:
        raise CorruptRow(f"chunk {seq}")
    digest_at = _CHUNK.size
    embedding_at = digest_at + width
    return ChunkRecord(seq, body[digest_at:embedding_at], body[embedding_at:], tokens, token_start)


def read_chunks(pairs: list[bytes], tenant: str, session_id: str) -> list[ChunkRecord]:
    """Return the chunks of a sorted set's members, each followed by its score; raises `CorruptRow`."""
    return [
        read_chunk(data, score, tenant, session_id)
        for data, score in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def pack_key(tenant: str, session_id: str, key: KeyRecord) -> list[str | bytes]:
    """Return names and values of an idempotency key's two entries."""
    body = _SEQ.pack(key.first_seq) + key.digest
    entries: list[str | bytes] = []
    for name in (key.key, mirrored(key.key)):
        entries += [name, CRC.pack(checksum(tenant, session_id, name, body)) + body]
    return entries


def read_key(
    values: list[bytes | None], tenant: str, session_id: str, key: str
) -> KeyRecord | None:
    """Return what is stored under both names of a key, in their order.

    Raises:
        CorruptRow: One does not verify, or the two disagree.
    """
    if values == [None, None]:
        return None
    first, second = (
        verified(value or b"", "key", tenant, session_id, name)
        for value, name in zip(values, (key, mirrored(key)), strict=True)
    )
    if first != second:
        raise CorruptRow("key")
    return KeyRecord(key, first[_SEQ.size :], _SEQ.unpack_from(first)[0])


def _unpacked(data: bytes) -> SessionRecord | None:
    try:
        return SessionRecord(*orjson.loads(verified(data, "session")))
    except CorruptRow:
        return None


def verified(data: bytes, row: str, *owner: str) -> bytes:
    """Return what follows the checksum; raises `CorruptRow` if that is wrong."""
    body = data[CRC.size :]
    if len(data) < CRC.size or CRC.unpack_from(data)[0] != checksum(*owner, body):
        raise CorruptRow(row)
    return body


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace")


def _open_until(record: SessionRecord) -> float | str:
    """Return the time at which an open session expires, `+inf` for never; empty for one that is over."""
    if record.status != "open":
        return ""
    return "+inf" if record.expires_at is None else record.expires_at


def _life(record: SessionRecord) -> int | str:
    """Return the milliseconds after which nobody can want a session any more, counted from its last change."""
    if record.forget_at is None:
        return ""
    return int((record.forget_at - record.updated_at + SLACK_SECONDS) * 1000)
