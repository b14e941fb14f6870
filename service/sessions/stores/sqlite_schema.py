"""The tables of a session database, and what brings an older file up to date."""

from collections.abc import Mapping, Sequence
from typing import Final

from service.sessions.stores.sqlite_queries import CHECKSUM_ALL

SCHEMA_VERSION: Final = 5
"""Also moves with the format of states: older code must refuse a file it would misread."""

APPLICATION_ID: Final = 0x4C535452  # "LSTR"

_COMPLETED: Final = "completed INTEGER NOT NULL DEFAULT 0 CHECK (completed IN (0, 1))"
_LIFETIME: Final = (
    "ttl_seconds REAL",
    "ends_at REAL",
    "tombstone_seconds REAL NOT NULL DEFAULT 86400.0",
    "kept_from INTEGER NOT NULL DEFAULT 0",
    "due REAL",
)
_NAME: Final = "name BLOB NOT NULL DEFAULT x''"
_CRC: Final = "crc INTEGER NOT NULL DEFAULT 0"
_TRAITS: Final = (
    "indexed INTEGER NOT NULL DEFAULT 0",
    "forked_from TEXT",
    "forked_at INTEGER",
    "traits_crc INTEGER NOT NULL DEFAULT 0",
)
_OPEN_DUES: Final = "CREATE INDEX open_dues ON sessions (tenant, due, status) WHERE status = 'open'"
"""With the status, which is always the same: a query that names it reads no row then."""
_DRAFTS: Final = """CREATE TABLE drafts (
    session INTEGER PRIMARY KEY,
    due REAL NOT NULL
) STRICT"""
_INDEXES: Final = (
    "CREATE UNIQUE INDEX session_names ON sessions (name)",
    "CREATE INDEX due_sessions ON sessions (due) WHERE due IS NOT NULL",
    "CREATE INDEX request_sessions ON requests (tenant, id)",
)

SCHEMA: Final = f"""
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    model TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    metadata TEXT NOT NULL,
    state_bytes INTEGER NOT NULL,
    {_COMPLETED},
    {", ".join(_LIFETIME)},
    {_NAME},
    {_CRC},
    {", ".join(_TRAITS)},
    UNIQUE (tenant, id)
) STRICT;
CREATE INDEX open_sessions ON sessions (tenant, id) WHERE status = 'open';
CREATE TABLE states (
    session INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE chunks (
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    digest BLOB NOT NULL,
    embedding BLOB NOT NULL,
    tokens INTEGER NOT NULL,
    token_start INTEGER NOT NULL,
    {_CRC},
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    session INTEGER NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    first_seq INTEGER NOT NULL,
    {_CRC},
    PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    data BLOB NOT NULL,
    {_CRC},
    PRIMARY KEY (session, seq)
) STRICT;
CREATE TABLE requests (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    id TEXT NOT NULL,
    {_CRC},
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
{"; ".join((*_INDEXES, _OPEN_DUES, _DRAFTS))};
CREATE TABLE heartbeat (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    beats INTEGER NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
MIGRATIONS: Final[Mapping[int, Sequence[str]]] = {
    1: (f"ALTER TABLE sessions ADD COLUMN {_COMPLETED}",),
    2: (
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
    ),
    3: (
        *(
            f"ALTER TABLE sessions ADD COLUMN {column}"
            for column in (*_LIFETIME, _NAME, _CRC, *_TRAITS)
        ),
        *(
            f"ALTER TABLE {table} ADD COLUMN {_CRC}"
            for table in ("chunks", "keys", "snapshots", "requests")
        ),
        """UPDATE sessions SET (indexed, forked_from, forked_at) =
        (SELECT indexed, forked_from, forked_at FROM traits WHERE traits.session = sessions.session)
        WHERE session IN (SELECT session FROM traits)""",
        "DROP TABLE traits",
        "UPDATE sessions SET due = updated_at + tombstone_seconds WHERE status = 'deleted'",
        "UPDATE sessions SET name = session_name(tenant, id)",
        """UPDATE sessions SET kept_from = coalesce(
        (SELECT min(seq) FROM chunks WHERE chunks.session = sessions.session), next_seq)""",
        *CHECKSUM_ALL,
        *_INDEXES,
    ),
    4: (_OPEN_DUES, _DRAFTS),
}
"""The statements that make a file of one schema version one of the next."""
