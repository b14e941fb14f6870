"""Two replicas that own one session: whatever they do, the log is one chain."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import Conflict, Gone, Unprocessable
from service.sessions.records import ChunkRecord
from service.sessions.snapshots import snapshot
from service.sessions.stores import MemoryStore, SqliteStore
from tests.service.sessions.begun import begin_session
from tests.service.sessions.bench import TEXTS, Bench, vectors
from tests.service.sessions.fakes import INFO, SHAPE, TENANT, command


async def chain(bench: Bench) -> list[ChunkRecord]:
    """Check that stored chunks are the fold of their texts, in order; return their number."""
    record = await bench.catalog.get(TENANT, "s")
    chunks = await bench.store.chunks(TENANT, "s", 0, 10_000)
    assert [chunk.seq for chunk in chunks] == list(range(record.next_seq))
    return chunks


async def test_two_owners_of_one_file_make_one_chain(tmp_path):
    path = tmp_path / "sessions.sqlite3"
    async with SqliteStore(path) as first, SqliteStore(path) as second:
        owners = [await Bench(first).begin(), Bench(second)]
        together = asyncio.Barrier(2)

        def meet(owner: Bench) -> Callable[[str], Awaitable[None]]:
            async def once(_: str) -> None:
                owner.reader.meanwhile = None
                await together.wait()

            return once

        for owner in owners:
            owner.reader.meanwhile = meet(owner)
        told: dict[int, tuple[str, NDArray[np.float32]]] = {}

        async def write(owner: Bench, who: int) -> None:
            for number in range(12):
                text = f"{who} says {number}"
                while True:
                    try:
                        result = await owner.append(command(text))
                    except Conflict as error:
                        assert error.code == "request_in_progress"  # noqa: PT017 - retried below
                        continue
                    break
                (answer,) = result.answers
                told[answer.seq] = (text, answer.embedding)

        await asyncio.gather(*(write(owner, who) for who, owner in enumerate(owners)))
        texts = [told[seq][0] for seq in range(24)]
        expected, document = owners[0].reader.fold(texts)
        np.testing.assert_array_equal([told[seq][1] for seq in range(24)], expected)
        assert len(await chain(owners[0])) == 24
        _, stored = await owners[1].catalog.document(TENANT, "s")
        np.testing.assert_array_equal(stored, document)
        # They did get in each other's way, at least where both were made to read the first chunk.
        computed = sum(len(owner.reader.texts) for owner in owners)
        assert computed > 24


async def test_of_two_owners_with_one_number_one_wins_and_the_other_is_told(tmp_path):
    path = tmp_path / "sessions.sqlite3"
    async with SqliteStore(path) as first, SqliteStore(path) as second:
        owners = [await Bench(first).begin(), Bench(second)]
        for seq in range(10):
            outcomes = await asyncio.gather(
                *(
                    owner.append(command(f"{who} at {seq}", first=seq))
                    for who, owner in enumerate(owners)
                ),
                return_exceptions=True,
            )
            errors = [each for each in outcomes if isinstance(each, Conflict)]
            assert len(errors) == 1
            assert errors[0].code == "sequence_conflict"
            assert errors[0].extras["expected_seq"] == seq + 1


async def test_of_two_owners_with_one_request_both_get_the_same_answer(tmp_path):
    path = tmp_path / "sessions.sqlite3"
    async with SqliteStore(path) as first, SqliteStore(path) as second:
        owners = [await Bench(first).begin(), Bench(second)]
        one, two = await asyncio.gather(
            *(owner.append(command(*TEXTS, key="k")) for owner in owners)
        )
        np.testing.assert_array_equal(vectors(one), vectors(two))
        assert one.next_seq == two.next_seq == len(TEXTS)


async def test_a_chunk_that_comes_in_between_record_and_answers_is_no_gap(monkeypatch):
    """The record and the stored answers are two reads; another owner may commit between them."""
    store = MemoryStore()
    mine, theirs = await Bench(store).begin(), Bench(store)
    await theirs.append(command(*TEXTS[:1], first=0))
    read = store.chunks

    async def chunks(*args: Any) -> list[ChunkRecord]:
        monkeypatch.setattr(store, "chunks", read)
        await theirs.append(command(TEXTS[1], first=1))
        return await read(*args)

    monkeypatch.setattr(store, "chunks", chunks)
    result = await mine.append(command(*TEXTS[:3], first=0))
    assert [answer.replayed for answer in result.answers] == [True, True, False]
    assert result.next_seq == 3


async def test_an_unnumbered_request_takes_no_strangers_chunk_for_its_own():
    store = MemoryStore()
    mine, theirs = await Bench(store).begin(), Bench(store)
    mine.reader.gate.clear()
    task = asyncio.create_task(mine.append(command("same", "same")))
    await mine.reader.started.wait()
    await theirs.append(command("same"))
    mine.reader.started.clear()
    mine.reader.gate.set()
    assert [answer.seq for answer in (await task).answers] == [1, 2]
    # In the middle of a request the numbers are fixed: then it is a conflict, not a replay.

    async def intrude(text: str) -> None:
        if text == "second":
            mine.reader.meanwhile = None
            await theirs.append(command("second"))

    mine.reader.meanwhile = intrude
    with pytest.raises(Conflict) as caught:
        await mine.append(command("first", "second"))
    assert caught.value.extras == {"expected_seq": 5, "provided_seq": 4, "next_seq": 5}


async def test_a_key_that_another_owner_took_meanwhile_stays_theirs():
    store = MemoryStore()
    mine, theirs = await Bench(store).begin(), Bench(store)
    await theirs.append(command("a", first=0))

    async def intrude(_: str) -> None:
        mine.reader.meanwhile = None
        await theirs.append(command("b", key="k"))

    mine.reader.meanwhile = intrude
    with pytest.raises(Unprocessable) as caught:
        await mine.append(command("a", "b", "c", first=0, key="k"))
    assert caught.value.code == "idempotency_key_reused"
    assert (await theirs.append(command("b", key="k"))).answers[0].replayed
    assert len(await chain(theirs)) == 2


async def test_an_owner_that_always_loses_gives_up():
    store = MemoryStore()
    mine, theirs = await Bench(store).begin(), Bench(store)
    mine.reader.meanwhile = lambda _: theirs.append(command("faster"))
    with pytest.raises(Conflict) as caught:
        await mine.append(command("slower"))
    assert caught.value.code == "request_in_progress"
    assert all(chunk.tokens == 1 for chunk in await chain(theirs))


async def test_a_chunk_is_not_read_against_a_state_that_came_too_late():
    class RacingStore(MemoryStore):
        """Another owner commits between a header read and the load of the state."""

        racing = False

        async def get_with_state(self, tenant, session_id):
            if self.racing:
                self.racing = False
                await theirs.append(command("faster"))
            return await super().get_with_state(tenant, session_id)

    store = RacingStore()
    mine, theirs = await Bench(store).begin(), Bench(store)
    store.racing = True
    result = await mine.append(command("slower"))
    assert [answer.seq for answer in result.answers] == [1]
    np.testing.assert_array_equal(vectors(result), mine.reader.fold(["faster", "slower"])[0][1:])
    assert mine.reader.texts == ["slower"]


async def replacing(bench: Bench, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete the session before `step` of the store is next taken, and begin another model's under its id."""
    store, inner = bench.store, getattr(bench.store, step)
    info = replace(INFO, id="other", fingerprint="e" * 64)
    other = Bench(store, info=info)
    other.reader.shape = {**SHAPE, "more": (7,)}

    async def replaced(*args: Any) -> Any:
        monkeypatch.setattr(store, step, inner)
        await bench.catalog.delete(TENANT, "s")
        buried = await store.get(TENANT, "s")
        assert buried is not None
        assert await store.forget(buried)
        await begin_session(bench.catalog, TENANT, info, "s")
        await other.append(command("x", "y", first=0))
        return await inner(*args)

    monkeypatch.setattr(store, step, replaced)


@pytest.mark.parametrize("text", ["b", "a"])
async def test_a_session_that_takes_the_place_of_another_is_left_alone(monkeypatch, text):
    bench = await Bench(hot_bytes=0).begin()
    await bench.append(command("a", first=0))
    await replacing(bench, "get_with_state", monkeypatch)
    first = 1 if text == "b" else 0
    # What is not replayed needs the memory, and what is the document.
    with pytest.raises(Gone) as caught:
        await bench.append(command(text, first=first, document=True))
    assert caught.value.code == "session_deleted"
    record = await bench.store.get(TENANT, "s")
    assert record is not None
    assert (record.status, record.model, record.next_seq) == ("open", "other", 2)


async def test_a_look_at_a_session_that_another_took_the_place_of_is_refused(monkeypatch):
    bench = await Bench(hot_bytes=0).begin()
    await bench.append(command("a", first=0))
    await replacing(bench, "get_with_state", monkeypatch)
    with pytest.raises(Conflict) as caught:
        await snapshot(bench.appender.tools, TENANT, "s")
    assert caught.value.code == "model_changed"
    record = await bench.store.get(TENANT, "s")
    assert record is not None
    assert (record.status, record.model) == ("open", "other")
