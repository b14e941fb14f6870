"""Rows of the SQLite store: from values to columns with a checksum, and back only if that is right."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from service.sessions.changes import lost_record
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores.base import Commit, CorruptRow
from service.sessions.stores.checksum import checksum, mirrored, name_digest

_NUMBERS: Final = frozenset(
    {"created_at", "updated_at", "ttl_seconds", "ends_at", "tombstone_seconds"}
)
"""Columns that SQLite gives back as floats, whatever was put in."""


def session_values(record: SessionRecord) -> tuple[Any, ...]:
    """Return the columns of a session's row, the checksum last."""
    values = [_value(record, name) for name in sql.RECORD_COLUMNS]
    due = record.due_at
    values += [None if due is None else float(due), name_digest(record.tenant, record.id)]
    return (*values, checksum(*values))


def read_session(row: Sequence[Any], tenant: str, session_id: str) -> SessionRecord:
    """Return the record of a row that was found for a session.

    Raises:
        CorruptRow: The row does not verify, and is not in quarantine for that.
    """
    *values, crc = row
    stored = dict(zip(sql.SESSION_COLUMNS, values, strict=True))
    verifies = checksum(*values) == crc
    if verifies and (stored["tenant"], stored["id"]) == (tenant, session_id):
        fields = {name: stored[name] for name in sql.RECORD_COLUMNS}
        return SessionRecord(**{**fields, "completed": bool(fields["completed"])})
    if stored["status"] == "lost":
        found = lost_record(tenant, session_id, stored["incarnation"], 0.0)
        return replace(found, version=stored["version"])
    raise CorruptRow("session")


def session_if_whole(row: Sequence[Any], tenant: str, session_id: str) -> SessionRecord | None:
    """Return what `read_session` does, None if the row does not verify."""
    try:
        return read_session(row, tenant, session_id)
    except CorruptRow:
        return None


def read_chunk(row: Sequence[Any]) -> ChunkRecord:
    """Return the chunk of a row; raises `CorruptRow`."""
    *values, crc = row
    if checksum(*values) != crc:
        raise CorruptRow(f"chunk {values[1]}")
    return ChunkRecord(*values[1:])


def read_key(rows: Sequence[Sequence[Any]], key: str) -> KeyRecord | None:
    """Return what is stored under both names of a key.

    Raises:
        CorruptRow: One does not verify, or the two disagree.
    """
    found = {}
    for *values, crc in rows:
        if checksum(*values) != crc:
            raise CorruptRow("key")
        found[values[1]] = tuple(values[2:])
    first = found.get(key)
    if first != found.get(mirrored(key)):
        raise CorruptRow("key")
    return None if first is None else KeyRecord(key, *first)


def write_session(
    database: sqlite3.Connection, record: SessionRecord, version: int | None, also: str = "open"
) -> int | None:
    """Compare and set: the row's number, or None if it is neither open nor `also`, or not at that version."""
    row = database.execute(
        sql.REPLACE,
        (*session_values(record), record.tenant, record.id, record.incarnation, also, version),
    ).fetchone()
    return None if row is None else int(row[0])


def write_commit(database: sqlite3.Connection, session: int, commit: Commit) -> None:
    """Write what a commit adds to a session whose record has been replaced.

    Raises:
        CorruptRow: The session has no state to replace, or a chunk it has not read.
    """
    chunk, key = commit.chunk, commit.key
    if database.execute(sql.SET_STATE, (commit.state, session)).rowcount != 1:
        raise CorruptRow("state")
    values = (session, chunk.seq, chunk.digest, chunk.embedding, chunk.tokens, chunk.token_start)
    try:
        database.execute(sql.ADD_CHUNK, values)
    except sqlite3.IntegrityError as error:
        raise CorruptRow(f"chunk {chunk.seq}") from error  # one stands there already
    if key is not None:
        for name in (key.key, mirrored(key.key)):
            database.execute(sql.SET_KEY, (session, name, key.digest, key.first_seq))
    if commit.record.kept_from > 0:
        database.execute(sql.FORGET_CHUNKS, (session, commit.record.kept_from))
    if commit.snapshots > 0:
        keep = (session, commit.record.next_seq, commit.state)
        database.execute(sql.KEEP_SNAPSHOT, keep)
        database.execute(sql.KEEP_FEW, {"session": session, "most": commit.snapshots})


def empty(database: sqlite3.Connection, session: int) -> None:
    """Remove everything of a session but its record."""
    for statement in sql.EMPTY:
        database.execute(statement, (session,))


def _value(record: SessionRecord, name: str) -> Any:
    value = getattr(record, name)
    if name in _NUMBERS and value is not None:
        return float(value)
    return int(value) if name == "completed" else value
