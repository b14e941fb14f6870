"""A second look at a complete document."""

import asyncio

import numpy as np
import pytest

from service.errors import (
    BadRequest,
    Conflict,
    Gone,
    NotFound,
    PreconditionFailed,
    ServiceError,
    Unavailable,
)
from service.ports import ModelInfo, RevisitCommand
from service.sessions.revisits import Revisits
from tests.service.sessions.bench import TEXTS, Bench
from tests.service.sessions.fakes import TENANT, WIDTH, command, revisit


@pytest.fixture
async def read(bench):
    """A session that has read `TEXTS`, and is open."""
    await bench.append(command(*TEXTS, first=0))
    return bench


def look(bench: Bench) -> Revisits:
    return Revisits(bench.appender.tools)


async def refused(bench: Bench, kind: type[ServiceError], what: RevisitCommand) -> ServiceError:
    """Return the error of a second look that changes nothing."""
    before = await bench.store.get_with_state(TENANT, "s")
    with pytest.raises(kind) as caught:
        await look(bench).revisit(what)
    assert await bench.store.get_with_state(TENANT, "s") == before
    assert bench.reader.looked == []
    return caught.value


async def test_chunks_meet_the_memory_of_the_whole_document(read):
    memory = read.reader.empty()
    for text in TEXTS:
        memory = read.reader.compute(text, memory).memory
    expected = [read.reader.compute(text, memory).embedding for text in TEXTS]
    result = await look(read).revisit(revisit(*TEXTS))
    np.testing.assert_array_equal([chunk.embedding for chunk in result.chunks], expected)
    assert [chunk.seq for chunk in result.chunks] == [0, 1, 2, 3, 4]
    assert [chunk.tokens for chunk in result.chunks] == [3, 2, 0, 2, 5]
    assert result.read_tokens == 22
    assert result.times.infer == 0.25
    assert result.times.persist > 0
    first, _ = read.reader.fold(TEXTS)
    assert np.abs(np.array(first[:4]) - np.array(expected)[:4]).max() > 1e-3


async def test_it_completes_the_session_and_changes_no_more_than_that(read):
    before, state = await read.store.get_with_state(TENANT, "s")
    await look(read).revisit(revisit(*TEXTS))
    after, same = await read.store.get_with_state(TENANT, "s")
    assert same == state
    assert (after.completed, after.version, after.next_seq) == (True, before.version + 1, 5)
    assert (before.tokens, before.state_bytes) == (after.tokens, after.state_bytes)
    assert read.listener.events["complete"] == 1
    assert read.listener.events["append"] == 5


async def test_any_part_may_be_looked_at_any_number_of_times(read):
    whole = await look(read).revisit(revisit(*TEXTS))
    restarted = Bench(read.store)
    again = look(restarted)
    parts = [
        chunk
        for start, stop in ((0, 2), (2, 3), (3, 5))
        for chunk in (await again.revisit(revisit(*TEXTS[start:stop], first=start))).chunks
    ]
    for one, other in zip(whole.chunks, parts, strict=True):
        assert (one.seq, one.tokens) == (other.seq, other.tokens)
        np.testing.assert_array_equal(one.embedding, other.embedding)
    assert restarted.listener.events == {"recover": 1}


async def test_no_chunks_only_complete(bench):
    result = await look(bench).revisit(revisit())
    assert (result.chunks, result.read_tokens) == ((), 0)
    assert (await bench.catalog.get(TENANT, "s")).completed
    assert bench.reader.looked == []


@pytest.mark.parametrize(
    ("what", "seq"),
    [
        (revisit("other text"), 0),
        (revisit(TEXTS[0], "other text"), 1),
        (revisit(*TEXTS[1:]), 0),
        (revisit(TEXTS[4], "never read", first=4), 5),
        (revisit("never read", first=2**53 - 1), 2**53 - 1),
    ],
)
async def test_other_texts_are_refused_and_complete_nothing(read, what, seq):
    error = await refused(read, Conflict, what)
    assert (error.code, error.param) == ("sequence_conflict", "first_seq")
    assert error.extras == {"expected_seq": 5, "provided_seq": seq, "next_seq": 5}
    assert not (await read.catalog.get(TENANT, "s")).completed
    assert read.listener.events["conflict"] == 1


async def test_what_is_no_longer_kept_cannot_be_compared():
    bench = await Bench(kept=2).begin()
    for seq, text in enumerate(TEXTS):
        await bench.append(command(text, first=seq))
    error = await refused(bench, Conflict, revisit(TEXTS[2], first=2))
    assert "no longer kept (sessions.kept_answers)" in error.detail
    assert len((await look(bench).revisit(revisit(*TEXTS[3:], first=3))).chunks) == 2


async def test_the_condition_is_about_the_session_before_it_was_complete(read):
    error = await refused(read, PreconditionFailed, revisit(*TEXTS, if_match=("old",)))
    record = await read.catalog.get(TENANT, "s")
    assert error.extras == {"etag": record.etag}
    for _ in range(2):
        await look(read).revisit(revisit(*TEXTS, if_match=(record.etag,)))


async def test_sessions_of_other_weights_or_none_are_refused(read):
    other = Bench(read.store, info=ModelInfo("fake", "infini", WIDTH, 64, 48, "e" * 64, "none"))
    assert (await refused(other, Conflict, revisit(*TEXTS))).code == "model_changed"
    await refused(read, BadRequest, revisit("\ud800"))
    with pytest.raises(NotFound):
        await look(read).revisit(RevisitCommand("tenant-b", "s", 0, ("a",)))
    await read.catalog.delete(TENANT, "s")
    with pytest.raises(Gone):
        await look(read).revisit(revisit(*TEXTS))


async def test_a_state_that_does_not_verify_is_lost_and_not_looked_at(read):
    read.store._sessions[TENANT, "s"].state = b"broken"
    restarted = Bench(read.store)
    with pytest.raises(Gone) as caught:
        await look(restarted).revisit(revisit(*TEXTS))
    assert caught.value.code == "session_lost"
    assert restarted.reader.looked == []


async def test_a_look_that_fails_can_be_asked_for_again(read, monkeypatch):
    async def busy(*_: object) -> None:
        raise Unavailable("overloaded", "the queue is full")

    with monkeypatch.context() as patch:
        patch.setattr(read.reader, "look", busy)
        with pytest.raises(Unavailable):
            await look(read).revisit(revisit(*TEXTS))
    assert (await read.catalog.get(TENANT, "s")).completed
    assert len((await look(read).revisit(revisit(*TEXTS))).chunks) == 5


async def test_many_looks_at_once_complete_once(read):
    results = await asyncio.gather(*(look(read).revisit(revisit(*TEXTS)) for _ in range(5)))
    assert len({result.chunks[0].embedding.tobytes() for result in results}) == 1
    assert read.listener.events["complete"] == 1


async def test_a_second_look_while_the_session_is_deleted_says_so(read, monkeypatch):
    inner = read.store.chunks

    async def chunks(*args):
        await read.catalog.delete(TENANT, "s")
        return await inner(*args)

    monkeypatch.setattr(read.store, "chunks", chunks)
    with pytest.raises(Gone) as caught:
        await look(read).revisit(revisit(*TEXTS))
    assert caught.value.code == "session_deleted"
