"""Callers that hang up, crashes and broken rows: what was acknowledged stays, once."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.errors import (
    READ_TOKENS,
    Conflict,
    Gone,
    InternalError,
    OutOfStorage,
    Unavailable,
)
from service.redaction import session_hash
from service.sessions.appender import MOST_WAITING
from service.sessions.stores import Commit, MemoryStore, SqliteStore
from tests.service.sessions.bench import Bench, vectors
from tests.service.sessions.fakes import SHAPE, TENANT, command


class Crash(Exception):
    """The process dies here."""


class FaultyStore(MemoryStore):
    """Fails commits: `before` leaves no trace, `after` has stored everything."""

    fault = ""
    deaf = False

    async def get(self, tenant, session_id):
        if self.deaf:
            raise Unavailable("store_unavailable", "nobody hears")
        return await super().get(tenant, session_id)

    async def commit(self, commit):
        if self.fault == "before":
            raise Crash("dies here")
        done = await super().commit(commit)
        if self.fault == "after, and is gone":
            self.deaf = True
        if self.fault:
            raise Unavailable("store_unavailable", "no answer came")
        return done


async def test_a_caller_that_hangs_up_stops_nothing():
    bench = await Bench().begin()
    bench.reader.gate.clear()
    task = asyncio.create_task(bench.append(command("a", "b", first=0)))
    await bench.reader.started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    retry = asyncio.create_task(bench.append(command("a", "b", first=0)))
    await asyncio.sleep(0)
    assert bench.appender.running == 1
    bench.reader.gate.set()
    result = await retry
    assert all(answer.replayed for answer in result.answers)
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(["a", "b"])[0])
    assert bench.reader.texts == ["a", "b"]


async def test_drain_waits_for_work_whose_caller_has_gone():
    bench = await Bench().begin()
    bench.reader.gate.clear()
    tasks = [asyncio.create_task(bench.append(command(text))) for text in "abc"]
    await bench.reader.started.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    drained = asyncio.create_task(bench.appender.drain())
    await asyncio.sleep(0.01)
    assert not drained.done()
    bench.reader.gate.set()
    await drained
    # The others had left before theirs began.
    assert bench.reader.texts == ["a"]
    assert (await bench.catalog.get(TENANT, "s")).next_seq == 1
    assert (bench.appender.running, len(bench.appender._locks)) == (0, 0)


async def test_an_append_that_fails_midway_says_what_was_read_for_it(monkeypatch):
    bench = await Bench().begin()
    bench.reader.fail_on = "d"
    with pytest.raises(Unavailable) as caught:
        await bench.append(command("a b", "c", "d", "e"))
    assert caught.value.extras == {READ_TOKENS: 7, "next_seq": 2}
    bench.reader.fail_on = None

    async def full(_: Commit) -> bool:
        raise OutOfStorage("out_of_storage", "full")

    monkeypatch.setattr(bench.store, "commit", full)
    with pytest.raises(OutOfStorage) as refused:
        await bench.append(command("d e f"))
    # It was read, though it could not be kept.
    assert refused.value.extras == {READ_TOKENS: 5, "next_seq": 2}
    with pytest.raises(Conflict) as out_of_order:
        await bench.append(command("d e f", first=9))
    assert READ_TOKENS not in out_of_order.value.extras


async def test_drain_waits_for_work_that_waits():
    bench = await Bench().begin()
    bench.reader.gate.clear()
    tasks = [asyncio.create_task(bench.append(command(text))) for text in "abc"]
    await bench.reader.started.wait()
    drained = asyncio.create_task(bench.appender.drain())
    bench.reader.gate.set()
    await drained
    assert (await bench.catalog.get(TENANT, "s")).next_seq == 3
    await asyncio.gather(*tasks)


async def test_drain_waits_also_while_the_session_passes_from_one_append_to_the_next():
    bench = await Bench().begin()
    bench.reader.gate.clear()
    _, second, _ = [asyncio.create_task(bench.append(command(text))) for text in "abc"]
    await bench.reader.started.wait()
    # The second hangs up just as its turn comes, so that for a moment no append runs.
    (run,) = bench.appender._running
    run.add_done_callback(lambda _: second.cancel())
    drained = asyncio.create_task(bench.appender.drain())
    await asyncio.sleep(0)
    bench.reader.gate.set()
    await drained
    assert bench.reader.texts == ["a", "c"]
    assert (await bench.catalog.get(TENANT, "s")).next_seq == 2


async def test_only_so_many_appends_wait_for_one_session():
    bench = await (await Bench().begin()).begin("other")
    bench.reader.gate.clear()
    tasks = [asyncio.create_task(bench.append(command(f"{n}"))) for n in range(MOST_WAITING + 1)]
    await bench.reader.started.wait()
    with pytest.raises(Unavailable) as caught:
        await bench.append(command("one too many"))
    assert (caught.value.code, caught.value.extras) == ("overloaded", {})
    elsewhere = asyncio.create_task(bench.append(command("other", session="other")))
    bench.reader.gate.set()
    assert [(await task).next_seq for task in tasks] == list(range(1, MOST_WAITING + 2))
    assert (await elsewhere).next_seq == 1
    assert (await bench.append(command("now"))).next_seq == MOST_WAITING + 2


async def test_a_run_that_is_cancelled_before_its_first_step_gives_the_session_back():
    bench = await Bench().begin()
    task = asyncio.create_task(bench.append(command("a")))
    await asyncio.sleep(0)
    (run,) = bench.appender._running
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.appender.running, len(bench.appender._locks)) == (0, 0)
    assert (await bench.append(command("b"))).next_seq == 1


async def test_an_error_nobody_waits_for_is_not_reported_as_unhandled():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    bench = await Bench().begin()
    bench.reader.gate.clear()
    bench.reader.fail_on = "a"
    task = asyncio.create_task(bench.append(command("a")))
    await bench.reader.started.wait()
    task.cancel()
    await asyncio.wait([task])
    bench.reader.gate.set()
    await bench.appender.drain()
    await asyncio.sleep(0)
    assert reported == []


async def test_a_crash_between_reading_and_commit_leaves_no_trace():
    store = FaultyStore()
    bench = await Bench(store).begin()
    await bench.append(command("a", first=0))
    before = await store.get_with_state(TENANT, "s")
    store.fault = "before"
    with pytest.raises(InternalError) as caught, capture_logs() as logs:
        await bench.append(command("b", first=1))
    assert caught.value.extras == {READ_TOKENS: 3, "next_seq": 1}
    assert "dies" not in caught.value.detail
    assert [(line["session"], line["exc_info"]) for line in logs] == [(session_hash("s"), True)]
    assert await store.get_with_state(TENANT, "s") == before
    store.fault = ""
    after = Bench(store)
    result = await after.append(command("b", first=1))
    assert [answer.replayed for answer in result.answers] == [False]
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(["a", "b"])[0][1:])


async def test_a_commit_whose_answer_got_lost_is_found_by_the_retry():
    store = FaultyStore()
    bench = await Bench(store).begin()
    store.fault = "after"
    with pytest.raises(Unavailable) as caught:
        await bench.append(command("a", "b", first=0))
    assert caught.value.extras == {READ_TOKENS: 3, "next_seq": 1}
    assert len(bench.hot) == 0
    store.fault = ""
    result = await bench.append(command("a", "b", first=0))
    assert [answer.replayed for answer in result.answers] == [True, False]
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(["a", "b"])[0])


async def test_where_nobody_knows_how_far_the_session_came_nothing_is_said_of_it():
    store = FaultyStore()
    bench = await Bench(store).begin()
    await bench.append(command("a"))
    store.fault = "after, and is gone"
    with pytest.raises(Unavailable, match="no answer came") as caught:
        await bench.append(command("b", first=1))
    assert caught.value.extras == {READ_TOKENS: 3}


async def test_a_broken_row_is_lost_and_stays_lost(tmp_path):
    path = tmp_path / "sessions.sqlite3"
    async with SqliteStore(path) as store:
        bench = await Bench(store, hot_bytes=0).begin()
        await bench.append(command("a", "b", first=0))
        with closing(sqlite3.connect(path)) as vandal:
            ((blob,),) = vandal.execute("SELECT data FROM states").fetchall()
            broken = bytearray(blob)
            broken[len(blob) // 2] ^= 1
            vandal.execute("UPDATE states SET data = ?", (bytes(broken),))
            vandal.commit()
        for _ in range(2):
            with pytest.raises(Gone) as caught:
                await bench.append(command("c", first=2))
            assert caught.value.code == "session_lost"
        assert bench.listener.events["lost"] == 1
    async with SqliteStore(path) as store:
        with pytest.raises(Gone) as caught:
            await Bench(store).append(command("a", "b", first=0))
        assert caught.value.code == "session_lost"


async def test_a_state_of_another_shape_is_lost():
    store = MemoryStore()
    await (await Bench(store).begin()).append(command("a"))
    other = Bench(store, hot_bytes=0)
    other.reader.shape = {**SHAPE, "matrix": (1, 1, 2, 2)}
    with pytest.raises(Gone) as caught:
        await other.append(command("b"))
    assert caught.value.code == "session_lost"


async def test_a_reading_that_is_not_finite_is_not_committed():
    bench = await Bench().begin()
    await bench.append(command("a"))
    before = await bench.store.get_with_state(TENANT, "s")

    bench.reader.distort = lambda good: replace(good, embedding=good.embedding * np.float32(np.nan))
    with pytest.raises(InternalError, match="unusable") as caught:
        await bench.append(command("b"))
    assert caught.value.extras == {READ_TOKENS: 3, "next_seq": 1}
    assert await bench.store.get_with_state(TENANT, "s") == before
    bench.reader.distort = lambda good: good
    assert (await bench.append(command("b"))).next_seq == 2
