"""The statements of the SQLite store."""

# ruff: noqa: S608 - texts are joined from the two column lists below and from nothing else

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
)
"""Fields of a `SessionRecord`, in order."""

_RECORD: Final = ", ".join(RECORD_COLUMNS)
_VALUES: Final = ", ".join("?" * len(RECORD_COLUMNS))
_CHUNK: Final = "seq, digest, embedding, tokens, token_start"
_SESSION: Final = "(SELECT session FROM sessions WHERE tenant = ? AND id = ?)"

CREATE: Final = f"""
    INSERT INTO sessions ({_RECORD}) VALUES ({_VALUES})
    ON CONFLICT (tenant, id) DO NOTHING RETURNING session
"""
CREATE_STATE: Final = "INSERT INTO states (session, data) VALUES (?, ?)"

GET: Final = f"SELECT {_RECORD} FROM sessions WHERE tenant = ? AND id = ?"
GET_WITH_STATE: Final = f"""
    SELECT {_RECORD}, data FROM sessions LEFT JOIN states USING (session)
    WHERE tenant = ? AND id = ?
"""
LIST: Final = f"""
    SELECT {_RECORD} FROM sessions
    WHERE tenant = ? AND status = 'open' AND id > ? ORDER BY id LIMIT ?
"""

REPLACE: Final = f"""
    UPDATE sessions SET ({_RECORD}) = ({_VALUES})
    WHERE tenant = ? AND id = ? AND incarnation = ? AND status = 'open'
    AND version = coalesce(?, version) RETURNING session
"""
"""Compare and set: the new record, then tenant, id, incarnation, and version or NULL."""

SET_STATE: Final = "UPDATE states SET data = ? WHERE session = ?"
ADD_CHUNK: Final = f"INSERT INTO chunks (session, {_CHUNK}) VALUES (?, ?, ?, ?, ?, ?)"
SET_KEY: Final = "INSERT OR REPLACE INTO keys (session, key, digest, first_seq) VALUES (?, ?, ?, ?)"
FORGET: Final = "DELETE FROM chunks WHERE session = ? AND seq < ?"
EMPTY: Final = (
    "DELETE FROM states WHERE session = ?",
    "DELETE FROM chunks WHERE session = ?",
    "DELETE FROM keys WHERE session = ?",
)

CHUNKS: Final = f"""
    SELECT {_CHUNK} FROM chunks WHERE session = {_SESSION} AND seq >= ? ORDER BY seq LIMIT ?
"""
KEY: Final = f"SELECT key, digest, first_seq FROM keys WHERE session = {_SESSION} AND key = ?"

PING: Final = """
    INSERT INTO heartbeat (one, beats) VALUES (1, 1)
    ON CONFLICT (one) DO UPDATE SET beats = beats + 1
"""
