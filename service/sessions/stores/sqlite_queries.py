"""The statements of the SQLite store.

`row_crc` and `session_name` are functions of the connection: `checksum` and `name_digest`.
"""

# ruff: noqa: S608 - texts are joined from the column lists below and from nothing else

from typing import Final

RECORD_COLUMNS: Final = (
    "tenant",
    "id",
    "incarnation",
    "model",
    "fingerprint",
    "status",
    "version",
    "next_seq",
    "tokens",
    "created_at",
    "updated_at",
    "metadata",
    "state_bytes",
    "completed",
    "ttl_seconds",
    "ends_at",
    "tombstone_seconds",
    "kept_from",
)
"""Fields of a `SessionRecord`, in order."""

SESSION_COLUMNS: Final = (*RECORD_COLUMNS, "due", "name")
"""Columns that the checksum of a session's row covers."""

_RECORD: Final = ", ".join((*SESSION_COLUMNS, "crc"))
_VALUES: Final = ", ".join("?" * (len(SESSION_COLUMNS) + 1))
_CHUNK: Final = "seq, digest, embedding, tokens, token_start"
_KEY: Final = "key, digest, first_seq"
_SESSION: Final = "(SELECT session FROM sessions WHERE tenant = ? AND id = ?)"

NEXT_SESSION: Final = """(SELECT 1 + coalesce(max(session), 0) FROM (
    SELECT max(session) AS session FROM sessions UNION ALL SELECT max(session) FROM drafts))"""
"""A number that neither a session nor a draft of one has."""
RESERVE: Final = f"INSERT INTO drafts (session, due) VALUES ({NEXT_SESSION}, ?) RETURNING session"
CREATE: Final = f"""
    INSERT INTO sessions (session, {_RECORD}) VALUES (coalesce(?, {NEXT_SESSION}), {_VALUES})
    ON CONFLICT DO NOTHING RETURNING session
"""
"""The number of its draft, or NULL, then the row."""
CREATE_STATE: Final = "INSERT INTO states (session, data) VALUES (?, ?)"

GET: Final = f"SELECT {_RECORD} FROM sessions WHERE tenant = ? AND id = ?"
GET_BY_NAME: Final = f"SELECT {_RECORD} FROM sessions WHERE name = session_name(?, ?)"
"""Finds the row whose tenant or id does not verify."""
GET_WITH_STATE: Final = f"""
    SELECT {_RECORD}, data FROM sessions LEFT JOIN states USING (session)
    WHERE tenant = ? AND id = ?
"""
SOURCE: Final = f"""
    SELECT session, {_RECORD} FROM sessions
    WHERE tenant = ? AND id = ? AND incarnation = ? AND status = 'open'
"""
LIST: Final = f"""
    SELECT {_RECORD} FROM sessions
    WHERE tenant = ? AND status = 'open' AND id > ? ORDER BY id LIMIT ?
"""
_OPEN: Final = "sessions INDEXED BY open_dues WHERE tenant = ? AND status = 'open'"
OPEN_COUNT: Final = f"""
    SELECT (SELECT count(*) FROM {_OPEN} AND due IS NULL) + (SELECT count(*) FROM {_OPEN} AND due > ?)
"""
"""Two, because the index answers each alone and reads no row."""
DUE: Final = "SELECT tenant, id FROM sessions WHERE due <= ? ORDER BY due LIMIT ?"

REPLACE: Final = f"""
    UPDATE sessions SET ({_RECORD}) = ({_VALUES})
    WHERE tenant = ? AND id = ? AND incarnation = ? AND status IN ('open', ?)
    AND version = coalesce(?, version) RETURNING session
"""
"""Compare and set: the new row, then tenant, id, incarnation, a status beside `open`, and version or NULL."""

QUARANTINE: Final = """
    UPDATE sessions SET (tenant, id, incarnation, status, version, due, crc) = (?, ?, ?, 'lost', ?, NULL, -1)
    WHERE name = session_name(?, ?) OR (tenant = ? AND id = ?)
"""
"""No checksum is negative: the row never verifies by chance. What it held otherwise stays."""

SET_STATE: Final = "UPDATE states SET data = ? WHERE session = ?"
ADD_CHUNK: Final = f"""
    INSERT INTO chunks (session, {_CHUNK}, crc)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_crc(?1, ?2, ?3, ?4, ?5, ?6))
"""
SET_KEY: Final = f"""
    INSERT OR REPLACE INTO keys (session, {_KEY}, crc)
    VALUES (?1, ?2, ?3, ?4, row_crc(?1, ?2, ?3, ?4))
"""
FORGET_CHUNKS: Final = "DELETE FROM chunks WHERE session = ? AND seq < ?"
KEEP_SNAPSHOT: Final = """
    INSERT OR REPLACE INTO snapshots (session, seq, data, crc)
    VALUES (?1, ?2, ?3, row_crc(?1, ?2, ?3))
"""
KEEP_FEW: Final = """
    DELETE FROM snapshots WHERE session = :session AND seq NOT IN
    (SELECT seq FROM snapshots WHERE session = :session ORDER BY seq DESC LIMIT :most)
"""
EMPTY: Final = (
    "DELETE FROM states WHERE session = ?",
    "DELETE FROM chunks WHERE session = ?",
    "DELETE FROM keys WHERE session = ?",
    "DELETE FROM snapshots WHERE session = ?",
    """UPDATE sessions SET (indexed, forked_from, forked_at, traits_crc) = (0, NULL, NULL, 0)
    WHERE session = ?""",
)
FORGET: Final = """
    DELETE FROM sessions WHERE tenant = ? AND id = ? AND incarnation = ? AND version = ? AND status = ?
    RETURNING session
"""

CHUNKS: Final = f"""
    SELECT session, {_CHUNK}, crc FROM chunks
    WHERE session = {_SESSION} AND seq >= ? ORDER BY seq LIMIT ?
"""
KEY: Final = f"SELECT session, {_KEY}, crc FROM keys WHERE session = {_SESSION} AND key IN (?, ?)"

PING: Final = """
    INSERT INTO heartbeat (one, beats) VALUES (1, 1)
    ON CONFLICT (one) DO UPDATE SET beats = beats + 1
"""

CHECKSUM_ALL: Final = (
    f"UPDATE sessions SET crc = row_crc({', '.join(SESSION_COLUMNS)})",
    f"UPDATE chunks SET crc = row_crc(session, {_CHUNK})",
    f"""INSERT INTO keys (session, {_KEY}, crc)
    SELECT session, ' ' || key, digest, first_seq, 0 FROM keys""",
    f"UPDATE keys SET crc = row_crc(session, {_KEY})",
    "UPDATE sessions SET traits_crc = row_crc(tenant, id, indexed, forked_from, forked_at)",
    "UPDATE snapshots SET crc = row_crc(session, seq, data)",
    """INSERT INTO requests (tenant, key, digest, id, crc)
    SELECT tenant, ' ' || key, digest, id, 0 FROM requests""",
    "UPDATE requests SET crc = row_crc(tenant, key, digest, id)",
)
"""Gives the rows of a release that had no checksums theirs, and its keys their second names."""
