"""How sessions begin and what is kept of their past, in SQLite: statements, and what a transaction does.

`row_crc` is a function of the connection: `checksum`.
"""

# ruff: noqa: S608 - texts are joined from the column lists below and from nothing else

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Final

from service.sessions.origins import (
    NO_TRAITS,
    Beginning,
    BeginOutcome,
    RequestRecord,
    SessionTraits,
    begun_record,
)
from service.sessions.records import SessionRecord
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


def begin(database: sqlite3.Connection, beginning: Beginning) -> BeginOutcome:
    """Begin a session within a transaction.

    Raises:
        CorruptRow: What is stored of its source does not verify.
    """
    record, request, source = beginning.record, beginning.request, beginning.source
    if request is not None:
        names = (record.tenant, request.key, mirrored(request.key))
        if database.execute(REQUEST, names).fetchone():
            return "key_taken"
    parent = None
    if source is not None:
        identity = (source.tenant, source.id, source.incarnation)
        parent = database.execute(sql.SOURCE, identity).fetchone()
        if parent is None:
            return "source_gone"
        found = rows.read_session(parent[1:], source.tenant, source.id)
        record = begun_record(record, found)
    row = database.execute(sql.CREATE, rows.session_values(record)).fetchone()
    if row is None:
        return "id_taken"
    session = row[0]
    database.execute(sql.CREATE_STATE, (session, beginning.state))
    _write_origin(database, session, beginning)
    if parent is not None:
        _copy(database, session, parent[0], record)
    chunks = [(session, *astuple(chunk)) for chunk in beginning.chunks]
    database.executemany(sql.ADD_CHUNK, chunks)
    return "begun"


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


def _copy(database: sqlite3.Connection, session: int, parent: int, record: SessionRecord) -> None:
    """Copy the chunks that `record` says it keeps; raises `CorruptRow` if one of them does not verify."""
    span = (parent, record.kept_from, record.next_seq)
    if database.execute(_COUNT, span).fetchone()[0] != record.next_seq - record.kept_from:
        raise CorruptRow("chunks of a source")
    database.execute(_COPY, (session, *span))
