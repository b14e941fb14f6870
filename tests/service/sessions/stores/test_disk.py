"""Disks that fail, vanish or fill up under an SQLite store."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import Unavailable
from service.sessions.stores import SqliteStore
from service.sessions.stores.reserve import Reserve
from tests.service.sessions.made import TENANT, create, make_commit, make_record
from tests.service.sessions.stores.crash_writer import commit_after, first_record, state_after
from tests.service.sessions.stores.test_sqlite import failure

ROOT = Path(__file__).parents[4]
RECORD = make_record()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "sessions.sqlite3"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Reopening may be tried at once."""
    monkeypatch.setattr("service.sessions.stores.sqlite_thread.REOPEN_SECONDS", 0.3)


async def fail(store: SqliteStore, code: int = sqlite3.SQLITE_IOERR_FSYNC) -> None:
    def work(database):
        raise failure(code)

    with pytest.raises(Unavailable) as caught:
        await store._on_thread(work)
    assert caught.value.code == "store_unavailable"


@pytest.mark.parametrize(
    "code",
    [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_READ],
)
async def test_a_disk_that_failed_is_not_asked_again_before_the_file_was_checked(path, code):
    async with SqliteStore(path) as store:
        await create(store, RECORD, b"state")
        await fail(store, code)
        for attempt in (store.ping(), store.get(TENANT, "s"), store.commit(make_commit(RECORD))):
            with pytest.raises(Unavailable, match="the disk of the session store failed"):
                await attempt
        await asyncio.sleep(0.3)
        assert await store.get_with_state(TENANT, "s") == (RECORD, b"state")
        assert await store.commit(make_commit(RECORD)) is True


async def test_a_file_that_is_damaged_stays_out_of_use_until_it_is_restored(path, tmp_path):
    async with SqliteStore(path) as store:
        for number in range(20):
            await create(store, make_record(f"s{number}"), b"state" * 10_000)
        await store._on_thread(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        copy = tmp_path / "copy"
        shutil.copy(path, copy)
        await fail(store)
        damaged = bytearray(path.read_bytes())
        damaged[5 * 16_384 : 9 * 16_384] = b"\xff" * (4 * 16_384)
        path.write_bytes(damaged)
        for _ in range(2):
            await asyncio.sleep(0.3)
            with pytest.raises(Unavailable, match=r"damaged|malformed"):
                await store.get(TENANT, "s1")
        shutil.copy(copy, path)
        await asyncio.sleep(0.3)
        assert await store.get(TENANT, "s1") == make_record("s1")


async def test_a_file_that_is_gone_is_not_made_anew(path):
    async with SqliteStore(path) as store:
        await create(store, RECORD, b"state")
        await fail(store)
        away = path.rename(path.with_name("away"))
        await asyncio.sleep(0.3)
        with pytest.raises(Unavailable, match="is not there"):
            await store.get(TENANT, "s")
        assert not path.exists()
        away.rename(path)
        await asyncio.sleep(0.3)
        assert await store.get(TENANT, "s") == RECORD


def run_tool(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which(tool)
    if binary is None:
        pytest.skip(f"there is no {tool} on this machine")
    return subprocess.run(
        [binary, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )


def writing_on_a_failing_disk(path: Path) -> list[str]:
    """Append forty chunks while every fourteenth call that syncs fails with EIO; return what the writer said."""
    trace, sync = str(path.parent.parent / "trace"), "fsync,fdatasync"
    program = (sys.executable, "-m", "tests.service.sessions.stores.disk_writer", str(path), "40")
    done = run_tool(
        "strace", "-f", "-qq", "-o", trace, "-e", f"trace={sync}",
        "-e", f"inject={sync}:error=EIO:when=14+14", *program,
    )  # fmt: skip
    if "ptrace" in done.stderr.lower():
        pytest.skip("nothing can be traced here")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_no_acknowledged_append_is_lost_when_fsync_fails(path):
    async with SqliteStore(path):
        pass  # the file is there before the disk begins to fail
    lines = await asyncio.to_thread(writing_on_a_failing_disk, path)
    failures = [line for line in lines if line.startswith("failed")]
    assert len(failures) >= 2
    assert all("disk I/O error" in line for line in failures)
    acknowledged = [int(line) for line in lines if line.isdecimal()]  # the rest are the log's
    assert len(acknowledged) >= 35
    assert len(set(acknowledged)) == len(acknowledged)
    async with SqliteStore(path) as store:
        row = await store.get_with_state("t", "s")
        chunks = await store.chunks("t", "s", 0, 99)
    assert row is not None
    assert row[1] == state_after(40)
    expected, record = [], first_record()
    while record.next_seq < 40:
        commit = commit_after(record)
        expected.append(commit.chunk)
        record = commit.record
    assert chunks == expected
    # An append that failed may have happened; one that was acknowledged must have.
    assert set(acknowledged) <= set(range(40))


def test_a_full_disk_stores_nothing_and_still_reads_and_deletes(tmp_path):
    """On a real file system of 64 MiB that another program fills to the last byte."""
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=64m tmpfs "$1" && exec "$2" -m tests.service.sessions.stores.disk_full "$1"'
    done = run_tool("unshare", "--mount", "sh", "-c", script, "sh", str(small), sys.executable)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["created"] > 10
    assert report == {
        "created": report["created"],
        "filled": report["filled"],
        "appended": "out_of_storage",
        "readable": True,
        "deleted": report["created"],
        "again": True,
    }


def test_the_reserve_takes_what_there_is_and_gives_it_back(tmp_path, monkeypatch):
    reserve, file = Reserve(tmp_path / "db"), tmp_path / "db.reserve"
    reserve.keep()
    assert file.stat().st_size == 24 * 1024**2
    assert file.stat().st_mode & 0o777 == 0o600
    reserve.spend()
    reserve.spend()
    assert not file.exists()

    def little(descriptor, offset, size):
        if size > 2**20:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", little)
    reserve.keep()
    assert file.exists()
    reserve.spend()
    monkeypatch.setattr("service.sessions.stores.reserve._LEAST", 2**21)
    reserve.keep()
    assert not file.exists()
