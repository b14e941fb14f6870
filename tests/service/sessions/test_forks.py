"""Sessions that share a past, over real appends."""

from dataclasses import replace

import numpy as np
import pytest

from service.errors import Conflict, Gone, NotFound, PreconditionFailed, Unprocessable
from service.ports import AppendCommand
from service.sessions.beginnings import RequestKey, Wish
from service.sessions.copies import SessionCopies
from service.sessions.origins import NO_TRAITS, SessionTraits
from service.sessions.retention import Retention
from tests.service.sessions.bench import Bench, vectors
from tests.service.sessions.fakes import INFO, TENANT, command

PAST = ["one two", "three", "four five six", "seven", "eight nine"]
FUTURE = ["ten", "eleven twelve"]
KEY = RequestKey("k", b"d" * 32)


@pytest.fixture
async def bench() -> Bench:
    made = await Bench(retention=Retention(snapshots=2, snapshot_every=2)).begin()
    await made.append(command(*PAST, first=0))
    return made


def copies(bench: Bench) -> SessionCopies:
    return SessionCopies(bench.store, 1 << 20, bench.clock, bench.listener)


async def fork(bench: Bench, name: str = "fork", **options):
    wish = Wish(name, options.pop("metadata", None), options.pop("request", None))
    return await copies(bench).forks.fork(TENANT, "s", wish, **options)


async def read(bench: Bench, name: str, *chunks: str, first: int):
    return await bench.append(AppendCommand(TENANT, name, chunks, first))


@pytest.mark.parametrize("at", [None, 5, 4, 2, 0])
async def test_a_fork_goes_on_as_its_parent_would_have(bench, at):
    begun = await fork(bench, at_seq=at)
    shared = 5 if at is None else at
    assert (begun.record.next_seq, begun.replayed) == (shared, False)
    assert begun.record.tokens == sum(len(text.split()) for text in PAST[:shared])
    assert begun.traits == SessionTraits(forked_from="s", forked_at=shared)
    result = await read(bench, "fork", *FUTURE, first=shared)
    expected, document = bench.reader.fold([*PAST[:shared], *FUTURE])
    np.testing.assert_array_equal(vectors(result), expected[shared:])
    record, vector = await bench.catalog.document(TENANT, "fork")
    np.testing.assert_array_equal(vector, document)
    assert record.incarnation != (await bench.catalog.get(TENANT, "s")).incarnation


async def test_the_two_have_nothing_in_common_from_there_on(bench):
    await fork(bench)
    mine = await read(bench, "fork", *FUTURE, first=5)
    theirs = await read(bench, "s", "another way", first=5)
    assert (mine.next_seq, theirs.next_seq) == (7, 6)
    replay = await read(bench, "s", *PAST, "another way", first=0)
    assert all(answer.replayed for answer in replay.answers)
    await bench.catalog.delete(TENANT, "s")
    assert (await read(bench, "fork", FUTURE[0], first=5)).answers[0].replayed


async def test_shared_chunks_are_replayed_by_the_fork_or_refused(bench):
    await fork(bench, at_seq=4)
    before = await read(bench, "s", *PAST[:4], first=0)
    replay = await read(bench, "fork", *PAST[:4], first=0)
    assert [answer.replayed for answer in replay.answers] == [True] * 4
    np.testing.assert_array_equal(vectors(replay), vectors(before))
    # What the parent read afterwards is not the fork's: it may read something else there.
    assert not (await read(bench, "fork", "other", first=4)).answers[0].replayed
    with pytest.raises(Conflict) as caught:
        await read(bench, "fork", "not what was read", first=1)
    assert caught.value.code == "sequence_conflict"


@pytest.mark.parametrize("at", [1, 3, 6, 99])
async def test_other_positions_are_refused_with_those_there_are(bench, at):
    with pytest.raises(Conflict) as caught:
        await fork(bench, at_seq=at)
    error = caught.value
    assert (error.code, error.param) == ("snapshot_not_kept", "at_seq")
    assert error.extras == {"available": [0, 2, 4, 5]}
    with pytest.raises(NotFound):
        await bench.catalog.get(TENANT, "fork")


async def test_a_snapshot_that_does_not_verify_is_as_good_as_none(bench, monkeypatch):
    async def broken(tenant: str, session: str, seq: int) -> bytes:
        return b"LSST" + b"\0" * 40

    monkeypatch.setattr(bench.store, "snapshot", broken)
    with pytest.raises(Conflict) as caught:
        await fork(bench, at_seq=4)
    assert caught.value.extras == {"available": [0, 2, 5]}
    # The session itself is sound and stays so.
    assert (await fork(bench)).record.next_seq == 5


async def test_a_fork_of_what_is_complete_is_open(bench):
    await bench.catalog.complete(TENANT, "s")
    begun = await fork(bench)
    assert begun.record.completed is False
    assert (await read(bench, "fork", *FUTURE, first=5)).next_seq == 7


async def test_a_fork_of_nothing_is_empty(bench):
    await bench.begin("empty")
    wish = Wish("fork")
    begun = await copies(bench).forks.fork(TENANT, "empty", wish)
    assert begun.record.next_seq == 0
    result = await read(bench, "fork", *PAST, first=0)
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(PAST)[0])


async def test_metadata_and_index_are_the_parents_unless_it_is_said(bench):
    wish = Wish("parent", '{"a":1}')
    await bench.catalog.begin(TENANT, INFO, wish, SessionTraits(indexed=True))
    made = copies(bench).forks
    plain = await made.fork(TENANT, "parent", Wish("one"))
    assert (plain.record.metadata, plain.traits.indexed) == ('{"a":1}', True)
    own = await made.fork(TENANT, "parent", Wish("two", '{"b":2}'))
    assert own.record.metadata == '{"b":2}'
    again = await made.fork(TENANT, "one", Wish("three"))
    assert again.traits == replace(NO_TRAITS, indexed=True, forked_from="one", forked_at=0)


async def test_the_condition_is_about_the_parent(bench):
    record = await bench.catalog.get(TENANT, "s")
    assert (await fork(bench, if_match=(record.etag,))).record.next_seq == 5
    with pytest.raises(PreconditionFailed) as caught:
        await fork(bench, "two", if_match=("other",))
    assert caught.value.extras == {"etag": record.etag}


async def test_a_request_that_is_sent_again_is_told_of_its_fork(bench):
    first = await fork(bench, request=KEY)
    await read(bench, "s", "moved on", first=5)
    await bench.catalog.delete(TENANT, "s")
    again = await fork(bench, request=KEY)
    assert (again.record, again.traits, again.replayed) == (first.record, first.traits, True)
    assert bench.listener.events["fork"] == 1
    with pytest.raises(Unprocessable):
        await fork(bench, request=replace(KEY, digest=b"e" * 32))


async def test_names_and_parents_that_cannot_be(bench):
    with pytest.raises(Conflict) as caught:
        await fork(bench, "s")
    assert caught.value.code == "session_exists"
    forks = copies(bench).forks
    with pytest.raises(NotFound):
        await forks.fork(TENANT, "never", Wish())
    with pytest.raises(NotFound):
        await forks.fork("tenant-b", "s", Wish())
    await bench.catalog.delete(TENANT, "s")
    with pytest.raises(Gone):
        await fork(bench, "two")
