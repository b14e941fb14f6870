"""Rows of the Redis store about the beginnings of sessions and their past, as bytes that begin with their checksum."""

import struct
from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

import orjson

from service.sessions.origins import RequestRecord, SessionTraits
from service.sessions.stores.base import Commit, CorruptRow
from service.sessions.stores.checksum import checksum, mirrored
from service.sessions.stores.redis_rows import CRC, verified

_WIDTH: Final = struct.Struct("<H")


def pack_traits(tenant: str, session_id: str, traits: SessionTraits) -> bytes:
    """Return the `traits` of a session's hash; it has them also if there is nothing to say."""
    return _packed(orjson.dumps(astuple(traits)), tenant, session_id, "traits")


def read_traits(data: bytes | None, tenant: str, session_id: str) -> SessionTraits:
    """Return what `pack_traits` was given; raises `CorruptRow`."""
    body = verified(data or b"", "traits", tenant, session_id, "traits")
    return SessionTraits(*orjson.loads(body))


def pack_name(tenant: str, session_id: str, request: RequestRecord | None) -> bytes:
    """Return the `request` of a session's hash: the key of the one that began it, empty without one."""
    name = "" if request is None else request.key
    return _packed(name.encode(), tenant, session_id, "request")


def read_name(data: bytes | None, tenant: str, session_id: str) -> str:
    """Return the key that `pack_name` was given; raises `CorruptRow`."""
    return verified(data or b"", "request", tenant, session_id, "request").decode()


def pack_request(tenant: str, request: RequestRecord) -> tuple[bytes, bytes]:
    """Return the values under both names of a request's key."""
    body = _WIDTH.pack(len(request.digest)) + request.digest + request.session_id.encode()
    first, second = (_packed(body, tenant, name) for name in (request.key, mirrored(request.key)))
    return first, second


def read_request(values: Sequence[bytes | None], tenant: str, key: str) -> RequestRecord | None:
    """Return what is stored under both names of a request's key, in their order; one of them is enough.

    Raises:
        CorruptRow: There is something, and nothing verifies.
    """
    for value, name in zip(values, (key, mirrored(key)), strict=True):
        try:
            body = verified(value or b"", "request", tenant, name)
        except CorruptRow:
            continue
        (width,) = _WIDTH.unpack_from(body)
        id_at = _WIDTH.size + width
        return RequestRecord(key, body[_WIDTH.size : id_at], body[id_at:].decode())
    if any(value is not None for value in values):
        raise CorruptRow("request")
    return None


def pack_snapshot(commit: Commit) -> tuple[int, int, bytes]:
    """Return how many snapshots to keep, the number of the new one and its checksum; the script has the state."""
    record = commit.record
    if commit.snapshots <= 0:
        return 0, 0, b""
    seq = record.next_seq
    crc = checksum(record.tenant, record.id, str(seq), commit.state)
    return commit.snapshots, seq, CRC.pack(crc)


def read_snapshot(data: bytes | None, tenant: str, session_id: str, seq: str) -> bytes | None:
    """Return the state that is kept under a number, None if that does not verify."""
    try:
        return verified(data or b"", "snapshot", tenant, session_id, seq)
    except CorruptRow:
        return None


def _packed(body: bytes, *owner: str) -> bytes:
    return CRC.pack(checksum(*owner, body)) + body
