"""The end of a document: what it stops, what it leaves, and who wins a race with it."""

import asyncio

import numpy as np
import pytest

from service.errors import Conflict, Gone, NotFound, PreconditionFailed, Unavailable
from service.sessions.catalog import SessionCatalog
from service.sessions.stores import MemoryStore, SqliteStore
from tests.service.sessions.bench import TEXTS, Bench, refused, vectors
from tests.service.sessions.fakes import TENANT, Listener, advance, command, ticking


async def test_completing_once_or_again_is_one_thing(bench):
    await bench.append(command(*TEXTS, first=0))
    before = await bench.catalog.get(TENANT, "s")
    done = await bench.catalog.complete(TENANT, "s")
    assert (done.completed, done.status, done.next_seq, done.tokens) == (True, "open", 5, 12)
    assert done.updated_at > before.updated_at
    assert done.etag != before.etag
    assert await bench.catalog.complete(TENANT, "s") == done
    assert await bench.catalog.get(TENANT, "s") == done
    assert await bench.catalog.list(TENANT, None, 9) == [done]
    assert bench.listener.events["complete"] == 1


async def test_a_session_that_read_nothing_can_be_completed(bench):
    done = await bench.catalog.complete(TENANT, "s")
    assert (done.completed, done.next_seq) == (True, 0)
    _, vector = await bench.catalog.document(TENANT, "s")
    assert not vector.any()


async def test_no_more_chunks_and_no_less(bench):
    first = await bench.append(command(*TEXTS, first=0, key="k"))
    await bench.catalog.complete(TENANT, "s")
    for options in ({}, {"first": 5}, {"first": 9}, {"key": "new"}, {"if_match": ("*",)}):
        error = await refused(bench, Conflict, "more", **options)
        assert (error.code, error.extras) == ("session_completed", {"next_seq": 5})
    error = await refused(bench, Conflict, "other text", first=1)
    assert error.code == "session_completed"
    read = len(bench.reader.texts)
    for again in (command(*TEXTS, first=0), command(*TEXTS, key="k"), command(*TEXTS[2:], first=2)):
        result = await bench.append(again)
        assert all(answer.replayed for answer in result.answers)
    np.testing.assert_array_equal(vectors(result), vectors(first)[2:])
    assert len(bench.reader.texts) == read
    _, vector = await bench.catalog.document(TENANT, "s")
    np.testing.assert_array_equal(vector, bench.reader.fold(TEXTS)[1])


async def test_a_request_with_old_and_new_chunks_says_how_far_it_came(bench):
    await bench.append(command("a", "b", first=0))
    await bench.catalog.complete(TENANT, "s")
    error = await refused(bench, Conflict, "a", "b", "c", first=0)
    assert (error.code, error.extras) == ("session_completed", {"next_seq": 2})


async def test_an_append_under_way_keeps_what_it_committed_and_is_refused_the_rest(bench):
    async def finish(text: str) -> None:
        if text == "b":
            bench.reader.meanwhile = None
            await bench.catalog.complete(TENANT, "s")

    bench.reader.meanwhile = finish
    with pytest.raises(Conflict) as caught:
        await bench.append(command("a", "b", "c", first=0))
    assert (caught.value.code, caught.value.extras) == (
        "session_completed",
        {"next_seq": 1, "read_tokens": 2},
    )
    record = await bench.catalog.get(TENANT, "s")
    assert (record.completed, record.next_seq) == (True, 1)
    again = await bench.append(command("a", first=0))
    assert again.answers[0].replayed


async def test_on_condition(bench):
    first = await bench.catalog.get(TENANT, "s")
    moved = await bench.append(command("a", first=0))
    with pytest.raises(PreconditionFailed) as caught:
        await bench.catalog.complete(TENANT, "s", (first.etag,))
    assert caught.value.extras == {"etag": moved.etag}
    assert not (await bench.catalog.get(TENANT, "s")).completed
    done = await bench.catalog.complete(TENANT, "s", (first.etag, moved.etag))
    # The answer may have been lost: asked again under the condition of then, it is told again.
    assert await bench.catalog.complete(TENANT, "s", (moved.etag,)) == done


async def test_what_is_not_there_or_gone_is_not_completed(bench):
    for tenant, name in ((TENANT, "none"), ("tenant-b", "s"), (TENANT, "../s")):
        with pytest.raises(NotFound):
            await bench.catalog.complete(tenant, name)
    await bench.catalog.complete(TENANT, "s")
    await bench.catalog.delete(TENANT, "s")
    with pytest.raises(Gone):
        await bench.catalog.complete(TENANT, "s")
    assert not (await bench.store.get("tenant-b", "s"))


class Racing(MemoryStore):
    """Another owner commits after each of the next `races` looks at a record."""

    races = 0

    async def get(self, tenant, session_id):
        record = await super().get(tenant, session_id)
        if self.races and record is not None:
            self.races -= 1
            await advance(self, record)
        return record


async def test_a_lost_race_is_tried_again_and_no_chunk_is_lost():
    store = Racing()
    bench = await Bench(store).begin()
    store.races = 3
    done = await bench.catalog.complete(TENANT, "s")
    assert (done.completed, done.next_seq) == (True, 3)
    store.races = 99
    other = await Bench(store).begin("t")
    with pytest.raises(Conflict) as caught:
        await other.catalog.complete(TENANT, "t")
    assert caught.value.code == "request_in_progress"
    store.races = 0
    assert not (await other.catalog.get(TENANT, "t")).completed


async def test_it_is_durable_and_a_lost_answer_is_found_by_the_retry(tmp_path):
    class Deaf(SqliteStore):
        async def complete(self, record, expected_version):
            await super().complete(record, expected_version)
            raise Unavailable("store_unavailable", "no answer came")

    path, listener = tmp_path / "s.db", Listener()
    async with Deaf(path) as store:
        bench = await Bench(store).begin()
        await bench.append(command("a", first=0))
        with pytest.raises(Unavailable):
            await bench.catalog.complete(TENANT, "s")
    async with SqliteStore(path) as reopened:
        done = await SessionCatalog(reopened, ticking(), listener).complete(TENANT, "s")
        error = await refused(Bench(reopened), Conflict, "b")
    assert (done.completed, done.version) == (True, 2)
    assert error.code == "session_completed"
    assert listener.events == {}


async def test_many_complete_at_once(tmp_path):
    path = tmp_path / "s.db"
    async with SqliteStore(path) as first, SqliteStore(path) as second:
        owners = [await Bench(first).begin(), Bench(second)]
        done = await asyncio.gather(
            *(owner.catalog.complete(TENANT, "s") for owner in owners for _ in range(4))
        )
    assert {record.version for record in done} == {1}
    assert sum(owner.listener.events["complete"] for owner in owners) == 1
