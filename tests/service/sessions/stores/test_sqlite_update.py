"""Files that an older release wrote."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import Unavailable
from service.sessions.changes import completed_record
from service.sessions.origins import RequestRecord, SessionTraits
from service.sessions.records import ChunkRecord, KeyRecord
from service.sessions.stores import SqliteStore
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores.sqlite_file import connect
from service.sessions.stores.sqlite_schema import SCHEMA_VERSION
from tests.service.sessions.made import TENANT, make_record
from tests.service.sessions.stores.test_sqlite import number

RECORD = make_record()
SCHEMA_1 = """
CREATE TABLE sessions (session INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, incarnation TEXT NOT NULL,
    model TEXT NOT NULL, fingerprint TEXT NOT NULL, status TEXT NOT NULL, version INTEGER NOT NULL,
    next_seq INTEGER NOT NULL, tokens INTEGER NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    metadata TEXT NOT NULL, state_bytes INTEGER NOT NULL, UNIQUE (tenant, id)) STRICT;
CREATE INDEX open_sessions ON sessions (tenant, id) WHERE status = 'open';
CREATE TABLE states (session INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE chunks (session INTEGER NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, embedding BLOB NOT NULL,
    tokens INTEGER NOT NULL, token_start INTEGER NOT NULL, PRIMARY KEY (session, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE keys (session INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, first_seq INTEGER NOT NULL,
    PRIMARY KEY (session, key)) STRICT, WITHOUT ROWID;
CREATE TABLE heartbeat (one INTEGER PRIMARY KEY CHECK (one = 1), beats INTEGER NOT NULL) STRICT;
PRAGMA application_id = 1280529490;
PRAGMA user_version = 1;
INSERT INTO sessions VALUES (7, 'tenant-a', 's', 'i1', 'fake', '%s', 'open', 0, 0, 0, 1.5, 2.5, '{"title":"ü"}', 0);
INSERT INTO sessions VALUES (8, 'tenant-a', 'gone', 'i2', 'fake', '%s', 'deleted', 3, 2, 9, 1.5, 2.5, '{}', 0);
INSERT INTO states VALUES (7, x'00ff');
"""
"""A file as the release before completion wrote it, with one session."""


SCHEMA_3 = """
ALTER TABLE sessions ADD COLUMN completed INTEGER NOT NULL DEFAULT 0 CHECK (completed IN (0, 1));
CREATE TABLE traits (session INTEGER PRIMARY KEY, indexed INTEGER NOT NULL CHECK (indexed IN (0, 1)), forked_from TEXT,
    forked_at INTEGER) STRICT;
CREATE TABLE snapshots (session INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (session, seq))
    STRICT;
CREATE TABLE requests (tenant TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 3;
INSERT INTO traits VALUES (7, 1, 'parent', 2);
INSERT INTO snapshots VALUES (7, 2, x'0102'), (7, 4, x'0304');
INSERT INTO requests VALUES ('tenant-a', 'r', x'0506', 's'), ('tenant-a', 'q', x'0708', 'gone');
"""
"""What the release before checksums had beside the first one's tables."""


def write_old(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA_1 % (RECORD.fingerprint, RECORD.fingerprint))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "old" / "sessions.sqlite3"


async def test_a_file_of_an_older_release_is_brought_up_to_date_and_keeps_its_sessions(path):
    write_old(path)
    async with SqliteStore(path) as store:
        assert await store.get_with_state(TENANT, "s") == (RECORD, b"\x00\xff")
        done = completed_record(RECORD, 9.0)
        assert await store.complete(done, expected_version=0) is True
    assert number(path, "PRAGMA user_version") == SCHEMA_VERSION == 5
    async with SqliteStore(path) as store:
        assert await store.get(TENANT, "s") == done


async def test_an_updated_file_is_what_a_new_one_is(tmp_path):
    old, new = tmp_path / "older" / "s.db", tmp_path / "new" / "s.db"
    write_old(old)
    columns = {}
    for path in (old, new):
        async with SqliteStore(path) as store:
            columns[path] = [
                await store._rows(f"PRAGMA table_info({table})", ())
                for table in ("sessions", "chunks", "keys", "snapshots", "requests")
            ]
    assert columns[old] == columns[new]
    assert all(columns[old])
    with closing(sqlite3.connect(old)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE sessions SET completed = 2")


def test_many_may_update_the_file_at_once(tmp_path):
    together = threading.Barrier(6)

    def open_one(path):
        together.wait(timeout=30)
        with closing(connect(path)) as connection:
            connection.execute(sql.PING)

    for turn in range(5):
        path = tmp_path / f"{turn}" / "sessions.sqlite3"
        write_old(path)
        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(open_one, path) for _ in range(6)]:
                done.result(timeout=60)
        assert number(path, "SELECT beats FROM heartbeat") == 6
        assert number(path, "PRAGMA user_version") == SCHEMA_VERSION


async def test_an_update_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    write_old(path)
    broken = {1: ("ALTER TABLE sessions ADD COLUMN metadata TEXT",)}
    with monkeypatch.context() as patch:
        patch.setattr("service.sessions.stores.sqlite_file.MIGRATIONS", broken)
        with pytest.raises(Unavailable, match="duplicate column"):
            await SqliteStore(path).__aenter__()
    assert number(path, "PRAGMA user_version") == 1
    async with SqliteStore(path) as store:
        assert await store.get(TENANT, "s") == RECORD


async def test_rows_and_keys_of_an_older_release_get_their_checksums(path):
    write_old(path)
    embedding, digest = b"e" * 1536, b"d" * 32
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sessions SET version = 1, next_seq = 1 WHERE session = 7")
        connection.execute("INSERT INTO chunks VALUES (7, 0, ?, ?, 3, 0)", (digest, embedding))
        connection.execute("INSERT INTO keys VALUES (7, 'k', ?, 0)", (digest,))
        connection.commit()
    async with SqliteStore(path) as store:
        assert await store.chunks(TENANT, "s", 0, 9) == [ChunkRecord(0, digest, embedding, 3, 0)]
        assert await store.key(TENANT, "s", "k") == KeyRecord("k", digest, 0)
        # A tombstone is remembered for a day, also one that was dug when there was no such rule.
        assert await store.due(2.5 + 86_399, 9) == []
        assert await store.due(2.5 + 86_400, 9) == [(TENANT, "gone")]


async def test_what_the_last_release_knew_of_beginnings_stays_and_gets_its_checksums(path):
    write_old(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA_3)
    async with SqliteStore(path) as store:
        assert await store.get_with_state(TENANT, "s") == (RECORD, b"\x00\xff")
        traits = SessionTraits(indexed=True, forked_from="parent", forked_at=2)
        assert await store.traits(TENANT, ["s", "gone"]) == {"s": traits}
        assert await store.snapshots(TENANT, "s") == [2, 4]
        assert await store.snapshot(TENANT, "s", 4) == b"\x03\x04"
        assert await store.request(TENANT, "r") == RequestRecord("r", b"\x05\x06", "s")
        # The tombstone that had no end has one now, and the key that began it goes with it.
        gone = await store.get(TENANT, "gone")
        assert gone is not None
        assert await store.forget(gone)
        assert await store.request(TENANT, "q") is None
    assert number(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'traits'") == 0
    assert number(path, "SELECT count(*) FROM requests") == 2
