"""The data plane, with a reader whose vectors depend on everything read before."""

import asyncio
import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import (
    BadRequest,
    Conflict,
    Gone,
    NotFound,
    PreconditionFailed,
    ServiceError,
    Unavailable,
    Unprocessable,
)
from service.ports import AppendResult, ModelInfo
from service.sessions.codec import state_bytes
from tests.service.sessions.bench import STATE_BYTES, TEXTS, Bench, vectors
from tests.service.sessions.fakes import (
    SHAPE,
    TENANT,
    WIDTH,
    command,
)


async def test_an_append_answers_for_every_chunk(bench):
    result = await bench.append(command(*TEXTS, first=0))
    expected, document = bench.reader.fold(TEXTS)
    np.testing.assert_array_equal(vectors(result), expected)
    np.testing.assert_array_equal(result.document, document)
    assert [answer.seq for answer in result.answers] == [0, 1, 2, 3, 4]
    assert [answer.tokens for answer in result.answers] == [3, 2, 0, 2, 5]
    assert [answer.token_start for answer in result.answers] == [0, 3, 5, 5, 7]
    assert not any(answer.replayed for answer in result.answers)
    assert all(answer.embedding.dtype == np.float32 for answer in result.answers)
    record = await bench.catalog.get(TENANT, "s")
    assert (result.next_seq, result.etag) == (5, record.etag)
    assert (record.next_seq, record.tokens, record.version) == (5, 12, 5)
    assert record.updated_at > record.created_at
    assert result.times.infer == 2.5
    assert result.times.persist > 0
    assert bench.listener.events == {"create": 1, "append": 5}
    assert bench.listener.positions == [0, 3, 5, 5, 7]
    assert bench.appender.state_bytes == state_bytes(SHAPE, WIDTH)
    _, blob = await bench.store.get_with_state(TENANT, "s")
    assert len(blob) == bench.appender.state_bytes


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.sets(st.integers(1, 9)),
    hot_bytes=st.sampled_from([0, 1 << 20]),
    numbered=st.booleans(),
)
async def test_grouping_changes_nothing(cuts, hot_bytes, numbered):
    texts = [f"chunk {number} " * (number % 3) for number in range(10)]
    bench = await Bench(hot_bytes=hot_bytes).begin()
    edges = [0, *sorted(cuts), 10]
    results = [
        await bench.append(command(*texts[start:end], first=start if numbered else None))
        for start, end in itertools.pairwise(edges)
    ]
    expected, document = bench.reader.fold(texts)
    np.testing.assert_array_equal(vectors(*results), expected)
    np.testing.assert_array_equal(results[-1].document, document)


async def test_eviction_loses_nothing():
    bench = Bench(hot_bytes=2 * STATE_BYTES)
    for name in "abcd":
        await bench.begin(name)
    results: dict[str, list[AppendResult]] = {name: [] for name in "abcd"}
    for text in TEXTS:
        for name in "abcd":
            results[name].append(await bench.append(command(text, session=name)))
    for name in "abcd":
        np.testing.assert_array_equal(vectors(*results[name]), bench.reader.fold(TEXTS)[0])
    assert len(bench.hot) <= 2
    assert bench.listener.events["evict"] == bench.hot.evictions > 0
    assert bench.listener.events["recover"] == 4 * (len(TEXTS) - 1)


async def test_a_hot_state_saves_the_load(bench):
    for text in TEXTS:
        await bench.append(command(text))
    assert bench.listener.events["recover"] == 0
    assert bench.hot.nbytes == STATE_BYTES


async def test_a_repeated_request_is_replayed_and_computes_nothing(bench):
    first = await bench.append(command(*TEXTS, first=0))
    await bench.append(command("later", first=5))
    read = len(bench.reader.texts)
    again = await bench.append(command(*TEXTS, first=0))
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


async def refused(
    bench: Bench, error_type: type[ServiceError], *chunks: str, **options: Any
) -> ServiceError:
    before = await bench.store.get_with_state(TENANT, "s")
    with pytest.raises(error_type) as caught:
        await bench.append(command(*chunks, **options))
    assert await bench.store.get_with_state(TENANT, "s") == before
    return caught.value


async def test_conflicts_and_gaps_change_nothing(bench):
    await bench.append(command("a", "b", first=0))
    other = await refused(bench, Conflict, "x", first=1)
    assert other.extras == {"expected_seq": 2, "provided_seq": 1, "next_seq": 2}
    gap = await refused(bench, Conflict, "x", first=4)
    assert gap.extras == {"expected_seq": 2, "provided_seq": 4, "next_seq": 2}
    far = await refused(bench, Conflict, "x", first=10**30)
    assert far.code == "sequence_conflict"
    assert bench.listener.events["conflict"] == 3


async def test_an_error_in_the_middle_says_how_far_it_came(bench):
    bench.reader.fail_on = "bad"
    with pytest.raises(Unavailable, match="queue") as caught:
        await bench.append(command("a", "b", "bad", "c", first=0))
    assert caught.value.code == "overloaded"
    assert caught.value.extras == {"next_seq": 2}
    bench.reader.fail_on = None
    result = await bench.append(command("a", "b", "bad", "c", first=0))
    assert [answer.replayed for answer in result.answers] == [True, True, False, False]
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(["a", "b", "bad", "c"])[0])


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


async def test_if_match(bench):
    record = await bench.catalog.get(TENANT, "s")
    result = await bench.append(command("a", "b", first=0, if_match=record.etag))
    error = await refused(bench, PreconditionFailed, "c", if_match=record.etag)
    assert error.extras == {"etag": result.etag, "next_seq": 2}
    again = await bench.append(command("a", "b", first=0, if_match=record.etag))
    assert all(answer.replayed for answer in again.answers)
    assert (await bench.append(command("c", if_match=result.etag))).next_seq == 3


async def test_only_so_many_answers_are_kept():
    bench = await Bench(kept=2).begin()
    await bench.append(command("a", "b", "c", "d", first=0, key="k"))
    # The request under way kept all of its own.
    assert (await bench.append(command("a", "b", "c", "d", first=0))).answers[0].replayed
    await bench.append(command("e", first=4))
    assert (await bench.append(command("d", "e", first=3))).next_seq == 5
    error = await refused(bench, Conflict, "c", first=2)
    assert "no longer kept" in error.detail
    assert await bench.store.key(TENANT, "s", "k") is None


async def test_a_changed_model_is_refused(bench):
    other = Bench(bench.store, info=ModelInfo("fake", "infini", WIDTH, 64, 48, "e" * 64, "none"))
    error = await refused(other, Conflict, "a")
    assert error.code == "model_changed"
    assert error.extras["current_fingerprint"] == "e" * 64


async def test_sessions_that_are_not_there(bench):
    with pytest.raises(NotFound):
        await bench.append(command("a", session="none"))
    with pytest.raises(NotFound):
        await bench.append(command("a", session="\ud800"))
    await bench.catalog.delete(TENANT, "s")
    with pytest.raises(Gone) as caught:
        await bench.append(command("a"))
    assert caught.value.code == "session_deleted"


@pytest.mark.parametrize(
    ("chunks", "options"),
    [
        ((), {}),
        (("a",), {"first": -1}),
        (("ok", "bad \ud800"), {}),
        (("a",), {"key": ""}),
        (("a",), {"key": "k" * 256}),
        (("a",), {"key": "sp ace"}),
    ],
)
async def test_what_cannot_be_an_append(bench, chunks, options):
    error = await refused(bench, BadRequest, *chunks, **options)
    assert error.code == "invalid_request"
    json.dumps(error.detail)


async def test_a_deleted_session_takes_no_append_that_was_under_way(bench):
    bench.reader.gate.clear()
    task = asyncio.create_task(bench.append(command("a", first=0)))
    await bench.reader.started.wait()
    await bench.catalog.delete(TENANT, "s")
    bench.reader.gate.set()
    with pytest.raises(Gone) as caught:
        await task
    assert caught.value.code == "session_deleted"
    assert (len(bench.hot), len(bench.appender._locks)) == (0, 0)
