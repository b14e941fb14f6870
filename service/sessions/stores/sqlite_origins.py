"""How sessions begin and what is kept of their past, in SQLite: tables, statements, and what a transaction does."""

# ruff: noqa: S608 - texts are joined from the constants below and of `sqlite_queries` and from nothing else

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Final

from service.sessions.origins import Beginning, BeginOutcome, SessionTraits
from service.sessions.stores import sqlite_queries as sql

SCHEMA: Final = (
    """CREATE TABLE traits (
    session INTEGER PRIMARY KEY,
    indexed INTEGER NOT NULL CHECK (indexed IN (0, 1)),
    forked_from TEXT,
    forked_at INTEGER
) STRICT""",
    """CREATE TABLE snapshots (
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT""",
    """CREATE TABLE requests (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID""",
)
"""Tables beside those of `sqlite_file`; also what makes a file of schema 2 one of schema 3."""

_CHUNK: Final = "seq, digest, embedding, tokens, token_start"
_SESSION: Final = "(SELECT session FROM sessions WHERE tenant = ? AND id = ?)"
_SOURCE: Final = """
    SELECT session FROM sessions WHERE tenant = ? AND id = ? AND incarnation = ? AND status = 'open'
"""
_COPY: Final = f"""
    INSERT INTO chunks (session, {_CHUNK})
    SELECT ?, {_CHUNK} FROM chunks WHERE session = ? AND seq < ?
"""
_SET_TRAITS: Final = (
    "INSERT INTO traits (session, indexed, forked_from, forked_at) VALUES (?, ?, ?, ?)"
)
_SET_REQUEST: Final = "INSERT INTO requests (tenant, key, digest, id) VALUES (?, ?, ?, ?)"
_KEEP: Final = "INSERT INTO snapshots (session, seq, data) VALUES (?, ?, ?)"
_KEEP_FEW: Final = """
    DELETE FROM snapshots WHERE session = :session AND seq NOT IN
    (SELECT seq FROM snapshots WHERE session = :session ORDER BY seq DESC LIMIT :most)
"""
EMPTY: Final = (
    "DELETE FROM traits WHERE session = ?",
    "DELETE FROM snapshots WHERE session = ?",
)
"""What goes with a deleted session."""

TRAITS: Final = """
    SELECT id, indexed, forked_from, forked_at FROM sessions JOIN traits USING (session)
    WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))
"""
REQUEST: Final = "SELECT key, digest, id FROM requests WHERE tenant = ? AND key = ?"
SNAPSHOTS: Final = f"SELECT seq FROM snapshots WHERE session = {_SESSION} ORDER BY seq"
SNAPSHOT: Final = f"SELECT data FROM snapshots WHERE session = {_SESSION} AND seq = ?"


def begin(
    database: sqlite3.Connection, beginning: Beginning, values: tuple[Any, ...]
) -> BeginOutcome:
    """Begin a session within a transaction.

    Args:
        database: In a transaction.
        beginning: The session.
        values: The columns of its record.
    """
    record, request, source = beginning.record, beginning.request, beginning.source
    if request is not None and database.execute(REQUEST, (record.tenant, request.key)).fetchone():
        return "key_taken"
    parent = None
    if source is not None:
        identity = (source.tenant, source.id, source.incarnation)
        parent = database.execute(_SOURCE, identity).fetchone()
        if parent is None:
            return "source_gone"
    row = database.execute(sql.CREATE, values).fetchone()
    if row is None:
        return "id_taken"
    session = row[0]
    database.execute(sql.CREATE_STATE, (session, beginning.state))
    if beginning.traits != SessionTraits():
        database.execute(_SET_TRAITS, (session, *astuple(beginning.traits)))
    if request is not None:
        database.execute(_SET_REQUEST, (record.tenant, *astuple(request)))
    if parent is not None:
        database.execute(_COPY, (session, parent[0], record.next_seq))
    database.executemany(sql.ADD_CHUNK, [(session, *astuple(chunk)) for chunk in beginning.chunks])
    return "begun"


def keep_snapshot(
    database: sqlite3.Connection, session: int, seq: int, state: bytes, most: int
) -> None:
    """Keep the state after `seq` chunks, and of all kept ones the newest `most`."""
    database.execute(_KEEP, (session, seq, state))
    database.execute(_KEEP_FEW, {"session": session, "most": most})


def ids(session_ids: Sequence[str]) -> str:
    """Return ids as `TRAITS` takes them."""
    return json.dumps(list(session_ids))


def traits(row: Sequence[Any]) -> tuple[str, SessionTraits]:
    """Return a row of `TRAITS` as id and value."""
    name, indexed, forked_from, forked_at = row
    return name, SessionTraits(bool(indexed), forked_from, forked_at)
