"""Search among the chunks of one session: exact, fresh, bounded."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import Conflict, Gone
from service.ports import AppendCommand
from service.sessions.beginnings import Wish
from service.sessions.copies import SessionCopies
from service.sessions.index import PAGE, ChunkIndex, ChunkVectors
from service.sessions.origins import SessionTraits
from service.sessions.retention import Retention
from service.sessions.session_file import unpack
from service.sessions.stores import MemoryStore
from tests.service.sessions.bench import Bench
from tests.service.sessions.fakes import INFO, TENANT, WIDTH, command

TEXTS = [f"chunk number {i}" for i in range(12)]


class Counting(MemoryStore):
    """A store that counts the chunks it hands out."""

    read = 0

    async def chunks(self, tenant, session_id, first_seq, limit):
        found = await super().chunks(tenant, session_id, first_seq, limit)
        self.read += len(found)
        return found


@pytest.fixture
async def bench() -> Bench:
    made = await Bench(store=Counting()).begin()
    await made.append(command(*TEXTS, first=0))
    return made


def copies(bench: Bench) -> SessionCopies:
    return SessionCopies(bench.store, 1 << 20, bench.clock, bench.listener)


def unit(count: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH))
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found.astype(np.float32)


def plain(vectors: np.ndarray, first: int = 0) -> ChunkVectors:
    places = np.stack([np.arange(len(vectors)) * 3, np.full(len(vectors), 3)], 1)
    return ChunkVectors("i", first, vectors, places)


def by_hand(query: np.ndarray, vectors: np.ndarray, top_k: int, first: int = 0) -> list[int]:
    scores = query @ vectors.T
    return [first + i for i in sorted(range(len(vectors)), key=lambda i: (-scores[i], i))[:top_k]]


def test_many_questions_need_no_memory_for_all_their_scores():
    vectors, queries = unit(4000), unit(1000, seed=1)
    index = plain(vectors)
    tracemalloc.start()
    found = index.nearest(queries, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 1000
    assert peak < queries.shape[0] * vectors.shape[0] * 4 / 4


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize("top_k", [1, 3, 50, 999])
def test_the_order_is_that_of_a_full_sort(count, top_k):
    vectors, queries = unit(count), unit(5, seed=1)
    found = plain(vectors, first=7).nearest(queries, top_k)
    scores = queries @ vectors.T
    for row, query, score in zip(found, queries, scores, strict=True):
        assert [near.seq for near in row] == by_hand(query, vectors, top_k, 7)
        assert [near.score for near in row] == sorted(map(float, score), reverse=True)[:top_k]
        assert [(near.token_start, near.tokens) for near in row] == [
            (3 * (near.seq - 7), 3) for near in row
        ]


def test_of_equally_near_ones_the_earlier_come_first():
    vectors = np.repeat(unit(2), 20, axis=0)
    [row] = plain(vectors).nearest(vectors[:1], 25)
    assert [near.seq for near in row] == list(range(25))


async def test_it_holds_exactly_what_was_committed(bench):
    index = ChunkIndex(bench.store, 100, 1 << 20)
    record = await bench.catalog.get(TENANT, "s")
    found = await index.vectors(record, WIDTH)
    np.testing.assert_array_equal(found.vectors, bench.reader.fold(TEXTS)[0])
    assert found.places.tolist() == [[3 * i, 3] for i in range(12)]
    later = await bench.append(command("one more chunk", first=12))
    # The older record is answered as it was, the newer one with the chunk that came in.
    assert (await index.vectors(record, WIDTH)).next_seq == 12
    record = await bench.catalog.get(TENANT, "s")
    found = await index.vectors(record, WIDTH)
    assert found.next_seq == 13
    np.testing.assert_array_equal(found.vectors[-1], later.answers[0].embedding)
    assert bench.store.read == 13


async def test_it_reads_page_by_page(bench):
    await bench.append(command(*(f"more {i}" for i in range(PAGE)), first=12))
    record = await bench.catalog.get(TENANT, "s")
    found = await ChunkIndex(bench.store, 10_000, 1 << 20).vectors(record, WIDTH)
    assert (found.first_seq, found.next_seq) == (0, PAGE + 12)


@pytest.mark.parametrize("most", [1, 5, 12, 13])
async def test_the_newest_are_searched(bench, most):
    index = ChunkIndex(bench.store, most, 1 << 20)
    for count in (12, 13, 20):
        if count > 12:
            more = [
                f"more {i}" for i in range((await bench.catalog.get(TENANT, "s")).next_seq, count)
            ]
            await bench.append(command(*more, first=count - len(more)))
        found = await index.vectors(await bench.catalog.get(TENANT, "s"), WIDTH)
        assert (found.first_seq, found.next_seq) == (max(0, count - most), count)
        kept = await bench.store.chunks(TENANT, "s", found.first_seq, 99)
        expected = [np.frombuffer(chunk.embedding, "<f4") for chunk in kept]
        np.testing.assert_array_equal(found.vectors, expected)
        assert found.vectors.base is None


async def test_memory_is_bounded_and_an_answer_does_not_depend_on_it(bench):
    await bench.begin("t")
    await bench.append(command(*TEXTS, session="t", first=0))
    records = [await bench.catalog.get(TENANT, name) for name in "st"]
    one = (await ChunkIndex(bench.store, 99, 0).vectors(records[0], WIDTH)).nbytes
    for capacity, reads in ((0, 48), (one, 48), (2 * one, 24)):
        index = ChunkIndex(bench.store, 99, capacity)
        bench.store.read = 0
        for record in records * 2:
            assert (await index.vectors(record, WIDTH)).next_seq == 12
            assert index.nbytes <= capacity
        assert bench.store.read == reads


async def test_a_session_that_is_another_one_now_is_read_anew(bench):
    index = ChunkIndex(bench.store, 99, 1 << 20)
    await index.vectors(await bench.catalog.get(TENANT, "s"), WIDTH)
    other = await Bench().begin()
    await other.append(command("entirely different", first=0))
    index._store = other.store
    found = await index.vectors(await other.catalog.get(TENANT, "s"), WIDTH)
    np.testing.assert_array_equal(found.vectors, other.reader.fold(["entirely different"])[0])


async def test_a_session_that_is_deleted_meanwhile_is_gone(bench):
    record = await bench.catalog.get(TENANT, "s")
    await bench.catalog.delete(TENANT, "s")
    with pytest.raises(Gone):
        await ChunkIndex(bench.store, 99, 1 << 20, bench.clock).vectors(record, WIDTH)


async def test_chunks_that_are_not_there_are_a_conflict_and_no_answer(bench):
    record = await bench.catalog.get(TENANT, "s")
    bench.store._sessions[TENANT, "s"].chunks.pop(11)
    with pytest.raises(Conflict) as caught:
        await ChunkIndex(bench.store, 99, 1 << 20).vectors(record, WIDTH)
    assert caught.value.code == "request_in_progress"


async def test_an_empty_session_has_nothing_near():
    bench = await Bench().begin()
    index = ChunkIndex(bench.store, 99, 1 << 20)
    found = await index.vectors(await bench.catalog.get(TENANT, "s"), WIDTH)
    assert found.nearest(unit(2), 5) == [(), ()]


async def test_answers_are_kept_for_the_search_of_a_session_that_has_one():
    bench = Bench(retention=Retention(answers=1, index_chunks=4))
    await bench.catalog.begin(TENANT, INFO, Wish("with"), SessionTraits(indexed=True))
    await bench.begin("without")
    for seq in range(8):
        for name in ("with", "without"):
            await bench.append(AppendCommand(TENANT, name, (f"chunk {seq}",), seq))
    kept = {
        name: [chunk.seq for chunk in await bench.store.chunks(TENANT, name, 0, 99)]
        for name in ("with", "without")
    }
    assert kept == {"with": [4, 5, 6, 7], "without": [7]}


async def test_answers_that_did_not_come_along_are_not_searched_and_no_error(bench):
    index = ChunkIndex(bench.store, 99, 1 << 20)
    made = copies(bench)
    _, data = await made.transfers.export(TENANT, "s", answers=False)
    wish = Wish("copy")
    record = (await made.transfers.adopt(TENANT, INFO, unpack(data), wish)).record
    found = await index.vectors(record, WIDTH)
    assert (found.first_seq, found.next_seq) == (12, 12)
    assert found.nearest(unit(1), 5) == [()]
    later = await bench.append(command("one more chunk", session="copy", first=12))
    found = await index.vectors(await bench.catalog.get(TENANT, "copy"), WIDTH)
    assert (found.first_seq, found.next_seq) == (12, 13)
    np.testing.assert_array_equal(found.vectors, [later.answers[0].embedding])
    # Another who has read on is no reason to find what came after the record.
    assert (await index.vectors(record, WIDTH)).next_seq == 12


async def test_a_fork_from_before_the_kept_answers_has_nothing_near():
    kept = Retention(answers=2, index_chunks=2, snapshots=4, snapshot_every=2)
    bench = await Bench(retention=kept).begin()
    for seq in range(6):
        await bench.append(command(TEXTS[seq], first=seq))
    record = (await copies(bench).forks.fork(TENANT, "s", Wish("fork"), at_seq=2)).record
    found = await ChunkIndex(bench.store, 2, 1 << 20).vectors(record, WIDTH)
    assert (found.first_seq, found.next_seq) == (2, 2)


@pytest.mark.parametrize("page", [1, 4, PAGE])
async def test_what_is_forgotten_while_it_is_read_leaves_no_gap(monkeypatch, page):
    monkeypatch.setattr("service.sessions.index.PAGE", page)
    bench = await Bench(retention=Retention(answers=2, index_chunks=6)).begin()
    await bench.append(command(*TEXTS[:6], first=0))
    record = await bench.catalog.get(TENANT, "s")
    inner, more = bench.store.chunks, [*TEXTS[6:]]

    async def chunks(*args):
        found = await inner(*args)
        # Appends that go on while the index is read, each of which another chunk is kept no longer for.
        for _ in range(2):
            if more:
                seq = 12 - len(more)
                await bench.append(command(more.pop(0), first=seq))
        return found

    monkeypatch.setattr(bench.store, "chunks", chunks)
    found = await ChunkIndex(bench.store, 6, 1 << 20).vectors(record, WIDTH)
    assert found.next_seq == 6
    expected = bench.reader.fold(TEXTS)[0][found.first_seq : 6]
    np.testing.assert_array_equal(found.vectors, np.array(expected).reshape(-1, WIDTH))


async def test_vectors_of_a_session_that_took_anothers_place_are_not_taken_for_its_own(
    bench, monkeypatch
):
    record = await bench.catalog.get(TENANT, "s")
    inner = bench.store.chunks

    async def chunks(*args):
        monkeypatch.setattr(bench.store, "chunks", inner)
        await bench.catalog.delete(TENANT, "s")
        await bench.store.forget(await bench.store.get(TENANT, "s"))
        await bench.begin()
        await bench.append(command(*(f"other {i}" for i in range(12)), first=0))
        return await inner(*args)

    monkeypatch.setattr(bench.store, "chunks", chunks)
    with pytest.raises(Gone) as caught:
        await ChunkIndex(bench.store, 99, 1 << 20).vectors(record, WIDTH)
    assert caught.value.code == "session_deleted"
