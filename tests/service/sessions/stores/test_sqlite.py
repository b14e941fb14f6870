import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.errors import ConfigError, OutOfStorage, Unavailable
from service.sessions.changes import tombstone
from service.sessions.stores import SQLITE_FILE, SqliteStore, open_store
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores.sqlite_file import connect, is_fatal, translate
from tests.service.sessions.made import TENANT, create, make_commit, make_record

ROOT = Path(__file__).parents[4]
RECORD = make_record()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "sessions.sqlite3"


def number(path: Path, query: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchone()[0]


async def test_open_sessions_are_counted_from_an_index_alone(path: Path):
    async with SqliteStore(path):
        pass
    with closing(connect(path)) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {sql.OPEN_COUNT}", ("t", "t", 1.0)).fetchall()
    searches = [step[-1] for step in plan if "sessions" in step[-1]]
    assert len(searches) == 2
    assert all("USING COVERING INDEX open_dues" in step for step in searches)


async def test_file_and_folder_are_for_their_owner_alone(path):
    async with SqliteStore(path) as store:
        await create(store, RECORD, b"state")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        assert modes == {
            path.name: 0o600,
            f"{path.name}-wal": 0o600,
            f"{path.name}-shm": 0o600,
            f"{path.name}.reserve": 0o600,
        }
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_settings_that_durability_rests_on(path):
    async with SqliteStore(path) as store:
        pragmas = {
            name: (await store._rows(f"PRAGMA {name}", ()))[0][0]
            for name in ("journal_mode", "synchronous", "busy_timeout", "page_size")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 2000,
        "page_size": 16384,
    }


async def test_sessions_outlive_the_store_object(path):
    async with SqliteStore(path) as store:
        await create(store, RECORD, b"state")
    async with SqliteStore(path) as store:
        assert await store.get_with_state(TENANT, "s") == (RECORD, b"state")


async def test_two_stores_on_one_file_see_each_other_and_race_fairly(path):
    async with SqliteStore(path) as one, SqliteStore(path) as two:
        record = RECORD
        await create(one, record, b"state")
        for turn in range(10):
            commits = [make_commit(record, f"{turn} by {who}") for who in "ab"]
            won = await asyncio.gather(one.commit(commits[0]), two.commit(commits[1]))
            assert sorted(won) == [False, True]
            record = commits[won.index(True)].record
            assert await one.get(TENANT, "s") == await two.get(TENANT, "s") == record


async def test_many_may_create_the_file_at_once(tmp_path):
    together = threading.Barrier(6)

    def open_one(path):
        together.wait(timeout=30)
        with closing(connect(path)) as connection:
            connection.execute(sql.PING)

    for turn in range(10):
        path = tmp_path / f"{turn}" / "sessions.sqlite3"
        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(open_one, path) for _ in range(6)]:
                done.result(timeout=60)
        assert number(path, "SELECT beats FROM heartbeat") == 6
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_several_processes_share_the_file(path):
    code = (
        "import asyncio, sys, pathlib\n"
        "from service.sessions.stores import SqliteStore\n"
        "async def main():\n"
        "    async with SqliteStore(pathlib.Path(sys.argv[1])) as store:\n"
        "        for _ in range(50):\n"
        "            await store.ping()\n"
        "asyncio.run(main())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert errors == [""] * 4
    assert number(path, "SELECT beats FROM heartbeat") == 200


async def test_a_newer_schema_is_refused_and_left_alone(path):
    async with SqliteStore(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="schema 99"):
        await SqliteStore(path).__aenter__()
    assert number(path, "PRAGMA user_version") == 99


async def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="not a session database"):
        await SqliteStore(path).__aenter__()
    assert path.read_bytes() == before


async def test_what_is_no_database_or_no_place_for_one_is_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    with pytest.raises(ConfigError, match="not a session database"):
        await SqliteStore(text).__aenter__()
    with pytest.raises(ConfigError):
        await SqliteStore(text / "below" / "s.db").__aenter__()
    with pytest.raises(ConfigError):
        await SqliteStore(tmp_path).__aenter__()


async def test_a_held_lock_is_unavailable_and_passes(path):
    async with SqliteStore(path) as store:
        await create(store, RECORD, b"state")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await store.get(TENANT, "s") == RECORD  # readers do not wait for writers
            with pytest.raises(Unavailable) as caught:
                await store.commit(make_commit(RECORD))
            assert caught.value.code == "store_unavailable"
            other.execute("ROLLBACK")
        assert await store.commit(make_commit(RECORD)) is True


async def test_a_full_disk_stores_nothing_and_still_reads_and_deletes(path):
    async with SqliteStore(path) as store:
        await create(store, RECORD, b"x" * 300_000)
        await store._on_thread(
            lambda db: db.execute(
                f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}"
            ).fetchall()
        )
        with pytest.raises(OutOfStorage) as caught:
            await create(store, make_record("other"), b"y" * 300_000)
        assert caught.value.code == "out_of_storage"
        assert await store.get(TENANT, "other") is None
        assert await store.get_with_state(TENANT, "s") == (RECORD, b"x" * 300_000)
        assert await store.bury(tombstone(RECORD, "deleted", 9.0)) is True
        assert await create(store, make_record("other"), b"y" * 300_000) is True


async def test_rewriting_states_grows_neither_file_nor_journal(path):
    size = 300_000
    async with SqliteStore(path) as store:
        record = RECORD
        await create(store, record, b"x" * size)
        for step in range(120):
            commit = make_commit(record, forget_before=record.version)
            object.__setattr__(commit, "state", bytes([step]) * size)
            assert await store.commit(commit)
            record = commit.record
        files = [each for each in path.parent.iterdir() if each.suffix != ".reserve"]
        total = sum(each.stat().st_size for each in files)
    # 36 MB went through; the journal restarts after 1000 pages of 16 KiB.
    assert total < 20 * 1024**2
    assert path.stat().st_size < 3 * size


async def test_a_closed_store_is_unavailable(path):
    store = SqliteStore(path)
    with pytest.raises(Unavailable):
        await store.get(TENANT, "s")
    async with store:
        await store.ping()
    with pytest.raises(Unavailable):
        await store.ping()
    await store.__aexit__()


def failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("simulated")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Unavailable),
        (sqlite3.SQLITE_LOCKED, Unavailable),
        (sqlite3.SQLITE_IOERR_WRITE, Unavailable),
        (sqlite3.SQLITE_CORRUPT, Unavailable),
        (sqlite3.SQLITE_FULL, OutOfStorage),
    ],
)
def test_failures_have_public_names(code, expected):
    assert type(translate(failure(code))) is expected
    assert is_fatal(failure(code)) == (code == sqlite3.SQLITE_IOERR_WRITE)


async def test_specifications(tmp_path):
    async with open_store("sqlite", tmp_path):
        assert (tmp_path / SQLITE_FILE).exists()
    async with open_store(f"sqlite:{tmp_path / 'elsewhere.db'}", tmp_path):
        assert (tmp_path / "elsewhere.db").exists()
    for spec in ("redis:", "postgres://host", "", "sqlite:", "memory:x", "SQLITE"):
        with pytest.raises(ConfigError, match="store"):
            open_store(spec, tmp_path)
