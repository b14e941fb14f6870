"""What a client may send again, and what comes back then."""

import asyncio

import numpy as np
import pytest

from service.errors import Conflict, Gone, PreconditionFailed, Unavailable, Unprocessable
from service.ports import ModelInfo
from tests.service.sessions.bench import TEXTS, Bench, refused, vectors
from tests.service.sessions.fakes import SHAPE, TENANT, WIDTH, command


async def test_a_repeated_request_is_replayed_and_computes_nothing(bench):
    first = await bench.append(command(*TEXTS, first=0))
    await bench.append(command("later", first=5))
    read = len(bench.reader.texts)
    again = await bench.append(command(*TEXTS, first=0, document=True))
    np.testing.assert_array_equal(vectors(again), vectors(first))
    assert all(answer.replayed for answer in again.answers)
    assert [answer.token_start for answer in again.answers] == [0, 3, 5, 5, 7]
    assert (again.next_seq, len(bench.reader.texts)) == (6, read)
    np.testing.assert_array_equal(again.document, bench.reader.fold([*TEXTS, "later"])[1])
    assert bench.listener.events["replay"] == 5


async def test_a_request_may_overlap_what_was_read(bench):
    await bench.append(command(*TEXTS[:3], first=0))
    result = await bench.append(command(*TEXTS[1:], first=1))
    assert [answer.replayed for answer in result.answers] == [True, True, False, False]
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(TEXTS)[0][1:])


async def test_an_idempotency_key_pins_an_assigned_number(bench):
    await bench.append(command("zero"))
    first = await bench.append(command("a", "b", key="k"))
    await bench.append(command("later"))
    again = await bench.append(command("a", "b", key="k"))
    assert [answer.seq for answer in again.answers] == [1, 2]
    assert all(answer.replayed for answer in again.answers)
    np.testing.assert_array_equal(vectors(again), vectors(first))
    assert (await bench.catalog.get(TENANT, "s")).next_seq == 4
    error = await refused(bench, Unprocessable, "a", "c", key="k")
    assert error.code == "idempotency_key_reused"


async def test_a_key_also_resumes_a_request_that_failed_half_way(bench):
    bench.reader.fail_on = "b"
    with pytest.raises(Unavailable, match="queue"):
        await bench.append(command("a", "b", key="k"))
    bench.reader.fail_on = None
    result = await bench.append(command("a", "b", key="k"))
    assert [(answer.seq, answer.replayed) for answer in result.answers] == [(0, True), (1, False)]


async def test_two_requests_with_one_key_at_once_are_one(bench):
    results = await asyncio.gather(*(bench.append(command("a", "b", key="k")) for _ in range(5)))
    assert {result.next_seq for result in results} == {2}
    assert bench.listener.events["append"] == 2


async def test_without_number_and_key_every_request_counts(bench):
    await asyncio.gather(*(bench.append(command("same")) for _ in range(5)))
    assert (await bench.catalog.get(TENANT, "s")).next_seq == 5


async def test_only_so_many_answers_are_kept():
    bench = await Bench(kept=2).begin()
    await bench.append(command("a", "b", "c", "d", first=0, key="k"))
    # The request under way kept all of its own.
    assert (await bench.append(command("a", "b", "c", "d", first=0))).answers[0].replayed
    await bench.append(command("e", first=4))
    assert (await bench.append(command("d", "e", first=3))).next_seq == 5
    error = await refused(bench, Conflict, "c", first=2)
    assert "no longer kept" in error.detail


async def test_a_keyed_retry_whose_answers_are_forgotten_is_not_applied_again():
    bench = await Bench(kept=1).begin()
    await bench.append(command("a", "b", key="k"))
    await bench.append(command("c"))
    error = await refused(bench, Conflict, "a", "b", key="k")
    assert error.extras == {"expected_seq": 3, "provided_seq": 0, "next_seq": 3}
    assert "no longer kept" in error.detail


async def test_a_key_is_stored_with_the_first_commit_of_a_request_that_begins_with_replays(bench):
    await bench.append(command("a", first=0))
    await bench.append(command("a", "b", first=0, key="k"))
    assert (await bench.store.key(TENANT, "s", "k")).first_seq == 0
    again = await bench.append(command("a", "b", key="k"))
    assert [(answer.seq, answer.replayed) for answer in again.answers] == [(0, True), (1, True)]
    error = await refused(bench, Unprocessable, "a", "c", first=0, key="k")
    assert error.code == "idempotency_key_reused"


async def test_a_replay_needs_neither_the_model_nor_the_state(bench):
    first = await bench.append(command(*TEXTS, key="k"))
    other = Bench(bench.store, info=ModelInfo("fake", "infini", WIDTH, 64, 48, "e" * 64, "none"))
    # Not even the shape of its memory is that of the model which began the session.
    other.reader.shape = {**SHAPE, "matrix": (1, 1, 2, 2)}
    again = await other.append(command(*TEXTS, key="k"))
    np.testing.assert_array_equal(vectors(again), vectors(first))
    assert (again.next_seq, again.etag, again.document) == (5, first.etag, None)
    assert "recover" not in other.listener.events
    wanted = await other.append(command(*TEXTS, key="k", document=True))
    np.testing.assert_array_equal(wanted.document, bench.reader.fold(TEXTS)[1])
    assert (await bench.catalog.get(TENANT, "s")).status == "open"


async def test_a_replay_does_not_touch_a_broken_state(bench):
    await bench.append(command("a", first=0))
    bench.store._sessions[TENANT, "s"].state = b"broken"
    restarted = Bench(bench.store)
    assert (await restarted.append(command("a", first=0))).answers[0].replayed
    with pytest.raises(Gone) as caught:
        await restarted.append(command("a", first=0, document=True))
    assert caught.value.code == "session_lost"


async def test_a_replay_while_the_session_is_deleted_says_so(bench, monkeypatch):
    await bench.append(command("a", "b", first=0))
    inner = bench.store.chunks

    async def chunks(*args):
        if (await bench.store.get(TENANT, "s")).status == "open":
            await bench.catalog.delete(TENANT, "s")
        return await inner(*args)

    monkeypatch.setattr(bench.store, "chunks", chunks)
    with pytest.raises(Gone) as caught:
        await bench.append(command("a", first=0))
    assert caught.value.code == "session_deleted"


async def test_a_condition_holds_no_longer_against_the_request_whose_key_shows_that_it_began(bench):
    etag = (await bench.catalog.get(TENANT, "s")).etag
    request = command("a", "b", key="k", if_match=(etag,))
    bench.reader.fail_on = "b"
    with pytest.raises(Unavailable):
        await bench.append(request)
    bench.reader.fail_on = None
    result = await bench.append(request)
    assert [(answer.seq, answer.replayed) for answer in result.answers] == [(0, True), (1, False)]
    # Without a key nothing tells the first half from what another writer read.
    bench.reader.fail_on = "d"
    half = command("c", "d", first=2, if_match=(result.etag,))
    with pytest.raises(Unavailable):
        await bench.append(half)
    bench.reader.fail_on = None
    with pytest.raises(PreconditionFailed) as caught:
        await bench.append(half)
    assert caught.value.extras["next_seq"] == 3
    error = await refused(bench, PreconditionFailed, "x", key="new", if_match=(etag,))
    assert error.code == "precondition_failed"


async def test_a_key_that_moves_stands_for_the_last_request_with_it(bench):
    request, seq = command("same", key="k", moves=True), 0
    for seq in range(4):
        first = await bench.append(request)
        again = await bench.append(request)
        assert [answer.seq for answer in (*first.answers, *again.answers)] == [seq, seq]
        assert (first.answers[0].replayed, again.answers[0].replayed) == (False, True)
        assert again.etag == first.etag
        request = command("same", first=seq + 1, key="k", moves=True, if_match=(first.etag,))
    # A stranger's equal chunk is not the request's, and the condition says so.
    await bench.append(command("same"))
    error = await refused(
        bench,
        PreconditionFailed,
        "same",
        first=seq + 1,
        key="k",
        moves=True,
        if_match=(first.etag,),
    )
    assert error.extras["next_seq"] == seq + 2
    kept = await bench.store.key(TENANT, "s", "k")
    assert kept is not None
    assert kept.first_seq == seq
