"""How sessions begin and what is kept of their past, in SQLite: statements, and what a transaction does.

`row_crc` is a function of the connection: `checksum`.
"""

# ruff: noqa: S608 - texts are joined from the column lists below and from nothing else

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from service.sessions.origins import (
    NO_TRAITS,
    Beginning,
    BeginOutcome,
    RequestRecord,
    SessionTraits,
    begun_record,
)
from service.sessions.records import ChunkRecord, SessionRecord
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores import sqlite_rows as rows
from service.sessions.stores.base import CorruptRow
from service.sessions.stores.checksum import checksum, mirrored

_CHUNK: Final = "seq, digest, embedding, tokens, token_start"
_REQUEST: Final = "tenant, key, digest, id"
_SESSION: Final = "(SELECT session FROM sessions WHERE tenant = ? AND id = ?)"

_COUNT: Final = f"""
    SELECT count(*) FROM chunks
    WHERE session = ? AND seq >= ? AND seq < ? AND crc = row_crc(session, {_CHUNK})
"""
_COPY: Final = f"""
    INSERT INTO chunks (session, {_CHUNK}, crc)
    SELECT ?1, {_CHUNK}, row_crc(?1, {_CHUNK}) FROM chunks WHERE session = ?2 AND seq >= ?3 AND seq < ?4
"""
_SET_TRAITS: Final = """
    UPDATE sessions SET (indexed, forked_from, forked_at, traits_crc)
    = (?2, ?3, ?4, row_crc(tenant, id, ?2, ?3, ?4)) WHERE session = ?1
"""
_SET_REQUEST: Final = f"""
    INSERT INTO requests ({_REQUEST}, crc) VALUES (?1, ?2, ?3, ?4, row_crc(?1, ?2, ?3, ?4))
"""

TRAITS: Final = """
    SELECT tenant, id, indexed, forked_from, forked_at, traits_crc FROM sessions
    WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))
    AND status NOT IN ('deleted', 'expired')
"""
REQUEST: Final = f"SELECT {_REQUEST}, crc FROM requests WHERE tenant = ? AND key IN (?, ?)"
FORGET_REQUEST: Final = "DELETE FROM requests WHERE tenant = ? AND id = ?"
SNAPSHOTS: Final = f"""
    SELECT seq FROM snapshots WHERE session = {_SESSION} AND crc = row_crc(session, seq, data) ORDER BY seq
"""
SNAPSHOT: Final = f"""
    SELECT data FROM snapshots WHERE session = {_SESSION} AND seq = ? AND crc = row_crc(session, seq, data)
"""


@dataclass(frozen=True, slots=True)
class Parent:
    """The session whose past a beginning shares.

    Attributes:
        session: Its number.
        record: As it is now.
    """

    session: int
    record: SessionRecord


def begin(
    database: sqlite3.Connection, beginning: Beginning, draft: int | None = None
) -> BeginOutcome:
    """Begin a session within a transaction.

    Args:
        database: Where.
        beginning: The session.
        draft: Number under which its chunks have been laid out; None to write them here.

    Raises:
        CorruptRow: What is stored of its source does not verify.
    """
    record, source = beginning.record, beginning.source
    found = obstacle(database, beginning)
    if found is not None:
        return found
    parent = None if source is None else parent_of(database, source)
    if parent is not None:
        record = begun_record(record, parent.record)
    row = database.execute(sql.CREATE, (draft, *rows.session_values(record))).fetchone()
    if row is None:
        return "id_taken"
    session = row[0]
    database.execute(sql.CREATE_STATE, (session, beginning.state))
    _write_origin(database, session, beginning)
    if draft is not None:
        # Some of the source's chunks may be kept no longer since they were copied.
        database.execute(sql.FORGET_CHUNKS, (session, record.kept_from))
    elif parent is not None:
        copy(database, session, parent, record.kept_from, record.next_seq)
    else:
        add_chunks(database, session, beginning.chunks)
    return "begun"


def obstacle(database: sqlite3.Connection, beginning: Beginning) -> BeginOutcome | None:
    """Return what keeps a session from beginning, None for nothing but perhaps its id; raises `CorruptRow`."""
    request, source = beginning.request, beginning.source
    if request is not None:
        names = (beginning.record.tenant, request.key, mirrored(request.key))
        if database.execute(REQUEST, names).fetchone():
            return "key_taken"
    if source is not None and parent_of(database, source) is None:
        return "source_gone"
    return None


def parent_of(database: sqlite3.Connection, source: SessionRecord) -> Parent | None:
    """Return a source as it is now, None if it is not open or of another incarnation; raises `CorruptRow`."""
    row = database.execute(sql.SOURCE, (source.tenant, source.id, source.incarnation)).fetchone()
    if row is None:
        return None
    return Parent(row[0], rows.read_session(row[1:], source.tenant, source.id))


def copy(database: sqlite3.Connection, session: int, parent: Parent, first: int, end: int) -> None:
    """Copy chunks `first` to `end - 1` of a parent; raises `CorruptRow` if one of them does not verify."""
    span = (parent.session, first, end)
    if database.execute(_COUNT, span).fetchone()[0] != end - first:
        raise CorruptRow("chunks of a source")
    database.execute(_COPY, (session, *span))


def add_chunks(database: sqlite3.Connection, session: int, chunks: Sequence[ChunkRecord]) -> None:
    """Write chunks that come with a session."""
    database.executemany(sql.ADD_CHUNK, [(session, *astuple(chunk)) for chunk in chunks])


def ids(session_ids: Sequence[str]) -> str:
    """Return ids as `TRAITS` takes them."""
    return json.dumps(list(session_ids))


def read_traits(found: Sequence[Sequence[Any]]) -> dict[str, SessionTraits]:
    """Return rows of `TRAITS` as values by id; raises `CorruptRow`."""
    traits = {}
    for *values, crc in found:
        if checksum(*values) != crc:
            raise CorruptRow("traits")
        _, name, indexed, forked_from, forked_at = values
        traits[name] = SessionTraits(bool(indexed), forked_from, forked_at)
    return {name: value for name, value in traits.items() if value != NO_TRAITS}


def read_request(found: Sequence[Sequence[Any]], key: str) -> RequestRecord | None:
    """Return what is stored under both names of a request's key; one of them is enough.

    Raises:
        CorruptRow: There is something, and nothing verifies.
    """
    for *values, crc in found:
        if checksum(*values) == crc:
            return RequestRecord(key, *values[2:])
    if found:
        raise CorruptRow("request")
    return None


def _write_origin(database: sqlite3.Connection, session: int, beginning: Beginning) -> None:
    traits, request = beginning.traits, beginning.request
    values = (session, int(traits.indexed), traits.forked_from, traits.forked_at)
    database.execute(_SET_TRAITS, values)
    if request is not None:
        for name in (request.key, mirrored(request.key)):
            stands_for = (request.digest, request.session_id)
            database.execute(_SET_REQUEST, (beginning.record.tenant, name, *stands_for))
