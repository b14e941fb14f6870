"""Sessions that begin with many chunks: in pieces, seen only when they are whole, and nothing stays of what failed."""

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import Unavailable
from service.sessions.changes import tombstone
from service.sessions.origins import Beginning
from service.sessions.stores import SqliteStore
from service.sessions.stores import sqlite_drafts as drafts
from service.sessions.stores.base import CorruptRow
from service.sessions.stores.sqlite_file import connect
from service.sessions.sweeping import Sweeper
from tests.service.sessions.made import TENANT, create, make_chunk, make_commit, make_record
from tests.service.sessions.watching import Clock, Heard

MANY = 50
BOOK = replace(make_record("book"), next_seq=MANY, version=MANY)
CHUNKS = tuple(make_chunk(seq) for seq in range(MANY))
IMPORT = Beginning(BOOK, b"state", chunks=CHUNKS)
FORK = Beginning(replace(BOOK, id="fork", incarnation="i2"), b"state", source=BOOK)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
async def store(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(drafts, "PIECE", 7)
    async with SqliteStore(tmp_path / "s.db") as opened:
        yield opened


def rows_of(store: SqliteStore, table: str) -> int:
    with closing(connect(store._thread._path)) as database:
        query = f"SELECT count(*) FROM {table}"  # noqa: S608 - a name of this file
        return int(database.execute(query).fetchone()[0])


def after_pieces(monkeypatch, pieces: int, happen: Any) -> None:
    """Let something happen before the piece after the first `pieces`."""
    write, written = drafts._write, []

    def counted(*args: Any) -> int | None:
        written.append(args)
        if len(written) == pieces + 1:
            happen(*args)
        return write(*args)

    monkeypatch.setattr(drafts, "_write", counted)


async def test_what_begins_with_many_chunks_is_whole(store):
    assert await store.begin(IMPORT) == "begun"
    assert await store.begin(FORK) == "begun"
    for name in ("book", "fork"):
        assert await store.chunks(TENANT, name, 0, 99) == list(CHUNKS)
    assert await store.begin(FORK) == "id_taken"
    # Its past is its own.
    assert await store.commit(make_commit(replace(FORK.record, kept_from=0)))
    assert len(await store.chunks(TENANT, "fork", 0, 99)) == MANY + 1
    assert len(await store.chunks(TENANT, "book", 0, 99)) == MANY
    assert rows_of(store, "drafts") == 0


async def test_others_write_between_the_pieces_and_see_nothing(store):
    await store.begin(IMPORT)
    other = make_record("other")
    await create(store, other, b"begin")
    task = asyncio.create_task(store.begin(FORK))
    seen = 0
    while not task.done():
        commit = make_commit(other)
        assert await store.commit(commit)
        other = commit.record
        if await store.get(TENANT, "fork") is None:
            assert await store.chunks(TENANT, "fork", 0, 99) == []
            assert await store.count(TENANT, 9.0) == 2
            seen += 1
    assert await task == "begun"
    assert seen >= MANY // 7  # one for each piece
    # A session that began meanwhile has not taken the draft's number.
    assert await store.chunks(TENANT, "fork", 0, 99) == list(CHUNKS)
    assert len(await store.chunks(TENANT, "other", 0, 999)) == other.next_seq


@pytest.mark.parametrize("beginning", [IMPORT, FORK], ids=["import", "fork"])
async def test_a_crash_between_two_pieces_leaves_nothing_that_a_sweep_does_not_remove(
    store, monkeypatch, beginning
):
    before = 0
    if beginning is FORK:
        await store.begin(IMPORT)
        before = MANY

    def crash(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        after_pieces(patch, 3, crash)
        # A process that is killed condemns nothing.
        patch.setattr(drafts, "_CONDEMN", "UPDATE drafts SET due = ?2 WHERE session = ?1 AND 0")
        with pytest.raises(Killed):
            await store.begin(beginning)
    name = beginning.record.id
    assert rows_of(store, "chunks") == before + 21
    assert await store.get(TENANT, name) is None
    assert [record.id for record in await store.list(TENANT, None, 9)] == ["book"] * (before > 0)
    clock = Clock(beginning.record.created_at + drafts.DRAFT_SECONDS - 1)
    await Sweeper(store, Heard(), clock).sweep()
    assert rows_of(store, "chunks") == before + 21  # it may be another process that is still at it
    clock.now += 1
    await Sweeper(store, Heard(), clock).sweep()
    assert (rows_of(store, "chunks"), rows_of(store, "drafts")) == (before, 0)
    assert await store.begin(beginning) == "begun"


async def test_a_caller_that_leaves_leaves_nothing(store, monkeypatch):
    task = asyncio.create_task(store.begin(IMPORT))
    after_pieces(monkeypatch, 2, lambda *_: task.get_loop().call_soon_threadsafe(task.cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.get(TENANT, "book") is None
    await store.due(0.0, 9)  # condemned, so at once
    assert (rows_of(store, "chunks"), rows_of(store, "drafts")) == (0, 0)


async def test_a_draft_that_a_sweep_took_for_left_over_does_not_begin(store, monkeypatch):
    def swept(database: Any, *_: Any) -> None:
        drafts.clear(database, float("inf"))

    after_pieces(monkeypatch, 3, swept)
    with pytest.raises(Unavailable, match="too slow"):
        await store.begin(IMPORT)
    assert await store.get(TENANT, "book") is None


@pytest.mark.parametrize("pieces", [0, 3])
async def test_a_source_that_goes_meanwhile_is_gone(store, monkeypatch, pieces):
    await store.begin(IMPORT)
    async with SqliteStore(store._thread._path) as other:
        loop = asyncio.get_running_loop()
        grave = tombstone(BOOK, "deleted", 9.0)

        def bury(*_: Any) -> None:
            asyncio.run_coroutine_threadsafe(other.bury(grave), loop).result()

        after_pieces(monkeypatch, pieces, bury)
        assert await store.begin(FORK) == "source_gone"
    await store.due(0.0, 9)
    assert (rows_of(store, "chunks"), rows_of(store, "drafts")) == (0, 0)


async def test_what_its_source_forgets_meanwhile_it_forgets_too(store, monkeypatch):
    await store.begin(IMPORT)
    async with SqliteStore(store._thread._path) as other:
        loop = asyncio.get_running_loop()
        commit = make_commit(BOOK, forget_before=40)

        def read_on(*_: Any) -> None:
            asyncio.run_coroutine_threadsafe(other.commit(commit), loop).result()

        after_pieces(monkeypatch, 3, read_on)
        assert await store.begin(FORK) == "begun"
    assert (await store.get(TENANT, "fork")).kept_from == 40
    assert await store.chunks(TENANT, "fork", 0, 99) == list(CHUNKS[40:])


async def test_a_source_with_a_broken_chunk_is_not_copied(store):
    await store.begin(IMPORT)
    with closing(connect(store._thread._path)) as database:
        database.execute("UPDATE chunks SET tokens = 4 WHERE seq = 30")
    with pytest.raises(CorruptRow):
        await store.begin(FORK)
    await store.due(0.0, 9)
    assert (rows_of(store, "chunks"), rows_of(store, "drafts")) == (MANY, 0)
