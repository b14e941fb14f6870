"""Commits that are written together are still each its own: won or lost, broken or not, wanted or not."""

import asyncio
import sqlite3
import threading

import pytest

from service.errors import OutOfStorage, Unavailable
from service.sessions.stores import CorruptRow, SqliteStore
from tests.service.sessions.made import TENANT, create, make_chunk, make_commit, make_record
from tests.service.sessions.stores.test_sqlite import failure

NAMES = [f"s{number}" for number in range(6)]


@pytest.fixture
async def store(tmp_path):
    async with SqliteStore(tmp_path / "sessions.sqlite3") as opened:
        for name in NAMES:
            await create(opened, make_record(name), b"begin")
        yield opened


class Held:
    """Keeps the store's thread busy, so that what comes meanwhile waits together."""

    def __init__(self, store: SqliteStore) -> None:
        self._go, self._store = threading.Event(), store
        self.statements: list[str] = []

    async def __aenter__(self):
        def wait(database: sqlite3.Connection) -> None:
            self._go.wait(60)
            database.set_trace_callback(self.statements.append)

        self._task = asyncio.create_task(self._store._on_thread(wait))
        await asyncio.sleep(0)
        return self

    async def release(self) -> None:
        self._go.set()
        await self._task

    async def __aexit__(self, *exc):
        await self.release()
        await self._store._on_thread(lambda database: database.set_trace_callback(None))

    @property
    def transactions(self) -> int:
        return self.statements.count("COMMIT")


async def test_what_waits_together_is_written_together(store):
    async with Held(store) as held:
        tasks = [
            asyncio.create_task(store.commit(make_commit(make_record(name)))) for name in NAMES
        ]
        await asyncio.sleep(0)
        await held.release()
        assert await asyncio.gather(*tasks) == [True] * len(NAMES)
        assert held.transactions == 1
    for name in NAMES:
        commit = make_commit(make_record(name))
        assert await store.get_with_state(TENANT, name) == (commit.record, commit.state)


async def test_of_two_commits_to_one_session_in_a_group_the_first_wins(store):
    first, second = (make_commit(make_record("s0"), text) for text in ("first", "second"))
    async with Held(store) as held:
        tasks = [asyncio.create_task(store.commit(commit)) for commit in (first, second)]
        await asyncio.sleep(0)
        await held.release()
        assert await asyncio.gather(*tasks) == [True, False]
    assert await store.chunks(TENANT, "s0", 0, 9) == [first.chunk]


async def test_a_broken_session_in_a_group_is_broken_alone_and_left_as_it_was(store):
    await store._on_thread(
        lambda db: db.execute(
            "DELETE FROM states WHERE session = (SELECT session FROM sessions WHERE id = 's1')"
        ).fetchall()
    )
    stray = make_chunk(0)
    await store._on_thread(
        lambda db: db.execute(
            "INSERT INTO chunks SELECT session, 0, ?, ?, 3, 0, 0 FROM sessions WHERE id = 's2'",
            (stray.digest, stray.embedding),
        ).fetchall()
    )
    async with Held(store) as held:
        tasks = [
            asyncio.create_task(store.commit(make_commit(make_record(name)))) for name in NAMES[:4]
        ]
        await asyncio.sleep(0)
        await held.release()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [outcomes[0], outcomes[3]] == [True, True]
    assert [type(outcome) for outcome in outcomes[1:3]] == [CorruptRow, CorruptRow]
    assert (await store.get(TENANT, "s1")).version == 0


async def test_a_caller_that_left_has_not_committed_later(store):
    left, other = make_commit(make_record("s0")), make_commit(make_record("s1"))
    async with Held(store) as held:
        task = asyncio.create_task(store.commit(left))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await held.release()
    assert await store.commit(other) is True
    assert await store.get(TENANT, "s0") == make_record("s0")


@pytest.mark.parametrize(
    ("code", "error"),
    [(sqlite3.SQLITE_FULL, OutOfStorage), (sqlite3.SQLITE_IOERR_FSYNC, Unavailable)],
)
async def test_a_transaction_that_fails_fails_all_that_are_in_it(store, monkeypatch, code, error):
    def fail(database, waiting):
        raise failure(code)

    async with Held(store) as held:
        with monkeypatch.context() as patch:
            patch.setattr("service.sessions.stores.sqlite_groups._apply", fail)
            tasks = [
                asyncio.create_task(store.commit(make_commit(make_record(name))))
                for name in NAMES[:3]
            ]
            await asyncio.sleep(0)
            await held.release()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [error] * 3
        if error is Unavailable:
            await asyncio.sleep(1.1)  # until it is opened again
        assert await store.get(TENANT, "s0") == make_record("s0")
        assert await store.commit(make_commit(make_record("s0"))) is True
