"""The data plane, with a reader whose vectors depend on everything read before."""

import asyncio
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import (
    READ_TOKENS,
    BadRequest,
    Conflict,
    Gone,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from service.ports import AppendResult, ModelInfo
from service.sessions.codec import state_bytes
from tests.service.sessions.bench import STATE_BYTES, TEXTS, Bench, refused, vectors
from tests.service.sessions.fakes import (
    SHAPE,
    TENANT,
    WIDTH,
    command,
)


async def test_an_append_answers_for_every_chunk(bench):
    result = await bench.append(command(*TEXTS, first=0, document=True))
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
    assert bench.listener.tokens == [3, 2, 0, 2, 5]
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
        await bench.append(
            command(*texts[start:end], first=start if numbered else None, document=True)
        )
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
    assert bench.listener.events["evict"] > 0
    assert bench.listener.events["recover"] == 4 * (len(TEXTS) - 1)


async def test_a_hot_state_saves_the_load(bench):
    for text in TEXTS:
        await bench.append(command(text))
    assert bench.listener.events["recover"] == 0
    assert bench.hot.nbytes == STATE_BYTES


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
    assert caught.value.extras == {READ_TOKENS: 6, "next_seq": 2}
    bench.reader.fail_on = None
    result = await bench.append(command("a", "b", "bad", "c", first=0))
    assert [answer.replayed for answer in result.answers] == [True, True, False, False]
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(["a", "b", "bad", "c"])[0])


async def test_if_match(bench):
    record = await bench.catalog.get(TENANT, "s")
    result = await bench.append(command("a", "b", first=0, if_match=(record.etag,)))
    error = await refused(bench, PreconditionFailed, "c", if_match=(record.etag,))
    assert error.extras == {"etag": result.etag, "next_seq": 2}
    again = await bench.append(command("a", "b", first=0, if_match=(record.etag,)))
    assert all(answer.replayed for answer in again.answers)
    assert (await bench.append(command("c", if_match=(record.etag, result.etag)))).next_seq == 3
    assert (await bench.append(command("d", if_match=("*",)))).next_seq == 4


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
