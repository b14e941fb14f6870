"""The step loop on a tiny real encoder."""

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
import torch

from models.encoder import Encoder
from models.packing import Segment
from service.engine import Engine
from service.errors import InternalError, Unavailable
from tests.models.conftest import tiny


class Counter:
    """Remembers what the engine reported."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.waits: list[float] = []

    def batch(self, tokens: int, sequences: int) -> None:
        self.batches.append((tokens, sequences))

    def queue_wait(self, seconds: float) -> None:
        self.waits.append(seconds)


class Gate:
    """Holds forward passes back until it is opened, to see what gathers meanwhile."""

    def __init__(self, encoder: Encoder) -> None:
        self.open = threading.Event()
        forward = encoder.forward

        def held(*args):
            assert self.open.wait(10)
            return forward(*args)

        encoder.forward = held  # type: ignore[method-assign]


def segment(*ids: int) -> Segment:
    return Segment((0, *ids, 1))


@pytest.fixture
def encoder() -> Encoder:
    return tiny("infini")


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def engine(encoder: Encoder, counter: Counter) -> AsyncIterator[Engine]:
    async with Engine(encoder, step_tokens=40, queue_tokens=100, observer=counter) as running:
        yield running


async def test_a_result_is_what_the_encoder_says(engine: Engine, encoder: Encoder):
    memory = encoder.empty_memory()
    [result] = await engine.submit([segment(5, 6, 7)], memory)
    with torch.inference_mode():
        expected = encoder([segment(5, 6, 7)], [memory])
    np.testing.assert_array_equal(result.total, expected.sums[0].numpy())
    assert result.tokens == 5
    assert result.memory is not None
    assert result.memory.tokens_seen == 3
    assert result.infer_s > 0


async def test_a_memory_nobody_asked_for_is_not_kept(engine: Engine, encoder: Encoder):
    memory = encoder.empty_memory()
    segments = [segment(5, 6, 7), segment(8)]
    with_it = await engine.submit(segments, memory)
    without = await engine.submit(segments, memory, keep_memory=False)
    assert [result.memory is None for result in (*with_it, *without)] == [False] * 2 + [True] * 2
    for one, other in zip(with_it, without, strict=True):
        np.testing.assert_allclose(one.total, other.total, atol=1e-6)


async def test_a_reader_with_nothing_to_read_or_keep_does_not_run(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
):
    encoder = tiny("infini-plus")
    assert encoder.reader is not None
    runs, forward = [], encoder.reader.forward

    def counted(*arguments):
        runs.append(arguments)
        return forward(*arguments)

    monkeypatch.setattr(encoder.reader, "forward", counted)
    texts, empty = [segment(5, 6, 7), segment(8)], encoder.empty_memory()
    async with Engine(encoder, step_tokens=40, queue_tokens=100, observer=counter) as engine:
        alone = await engine.submit(texts, empty, keep_memory=False)
        assert not runs
        [kept, _] = await engine.submit(texts, empty)
        assert len(runs) == 1
        assert kept.memory is not None
        [later] = await engine.submit(texts[:1], kept.memory, keep_memory=False)
        assert len(runs) == 2
    with torch.inference_mode():
        expected = encoder(texts, [empty] * 2).sums.numpy()
    np.testing.assert_array_equal([one.total for one in alone], expected)
    assert np.abs(later.total - expected[0]).max() > 1e-4


async def test_work_that_waits_shares_a_step(engine: Engine, encoder: Encoder, counter: Counter):
    gate, empty = Gate(encoder), encoder.empty_memory()
    requests = [asyncio.create_task(engine.submit([segment(i)], empty)) for i in range(2, 8)]
    await asyncio.sleep(0.05)
    gate.open.set()
    await asyncio.gather(*requests)
    assert counter.batches in ([(18, 6)], [(3, 1), (15, 5)])
    assert len(counter.waits) == 6


async def test_too_much_waiting_is_refused_at_once_and_the_rest_runs(
    engine: Engine, encoder: Encoder
):
    gate, empty = Gate(encoder), encoder.empty_memory()
    running = asyncio.create_task(engine.submit([segment(2)] * 20, empty))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(engine.submit([segment(2)] * 20, empty))
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable) as refused:
        await engine.submit([segment(*range(2, 48))], empty)
    assert refused.value.code == "overloaded"
    gate.open.set()
    assert len(await running) == len(await waiting) == 20
    assert engine.queued_tokens == 0


async def test_a_running_step_is_busy_time(engine: Engine, encoder: Encoder):
    await engine.submit([segment(2)], encoder.empty_memory())
    before, gate = engine.busy_s, Gate(encoder)
    running = asyncio.create_task(engine.submit([segment(2)], encoder.empty_memory()))
    await asyncio.sleep(0.1)
    during = engine.busy_s
    assert during - before > 0.05
    gate.open.set()
    await running
    after = engine.busy_s
    assert after >= during
    await asyncio.sleep(0.02)
    assert engine.busy_s == after


async def test_a_failed_step_was_busy_time(engine: Engine, encoder: Encoder):
    with pytest.raises(InternalError):
        await engine.submit([segment(10_000)], encoder.empty_memory())
    assert engine.busy_s > 0


async def test_what_is_asked_and_refused_is_counted(engine: Engine, encoder: Encoder):
    gate, empty = Gate(encoder), encoder.empty_memory()
    running = asyncio.create_task(engine.submit([segment(2)] * 20, empty))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(engine.submit([segment(2)] * 20, empty))
    await asyncio.sleep(0.05)
    assert engine.divisible_tokens < engine.queued_tokens
    with pytest.raises(Unavailable):
        await engine.submit([segment(*range(2, 48))], empty)
    assert (engine.asked_tokens, engine.refused_tokens) == (60 + 60 + 48, 48)
    gate.open.set()
    await asyncio.gather(running, waiting)


async def test_a_cancelled_request_leaves_the_queue(engine: Engine, encoder: Encoder):
    gate, empty = Gate(encoder), encoder.empty_memory()
    running = asyncio.create_task(engine.submit([segment(2)], empty))
    await asyncio.sleep(0.05)
    gone = asyncio.create_task(engine.submit([segment(3)] * 5, empty))
    await asyncio.sleep(0.05)
    assert engine.queued_tokens == 15
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert engine.queued_tokens == 0
    gate.open.set()
    assert len(await running) == 1


async def test_a_failing_forward_fails_its_step_and_nothing_else(engine: Engine, encoder: Encoder):
    with pytest.raises(InternalError):
        await engine.submit([segment(10_000)], encoder.empty_memory())  # no such token
    assert len(await engine.submit([segment(3)], encoder.empty_memory())) == 1


async def test_stopping_refuses_what_still_waits(encoder: Encoder, counter: Counter):
    gate, empty = Gate(encoder), encoder.empty_memory()
    async with Engine(encoder, step_tokens=3, queue_tokens=100, observer=counter) as engine:
        requests = [asyncio.create_task(engine.submit([segment(i)], empty)) for i in range(2, 5)]
        await asyncio.sleep(0.05)
        gate.open.set()
    done = await asyncio.gather(*requests, return_exceptions=True)
    assert any(isinstance(result, Unavailable) for result in done)
    assert all(isinstance(result, (Unavailable, list)) for result in done)


async def test_a_sequence_is_admitted_once_and_read_in_order(
    engine: Engine, encoder: Encoder, counter: Counter
):
    gate, empty = Gate(encoder), encoder.empty_memory()
    sequence = [segment(*range(2, 20)), segment(5), segment(6, 7)]
    reading = asyncio.create_task(engine.read(sequence, empty))
    await asyncio.sleep(0.05)
    crowd = asyncio.create_task(engine.submit([segment(3)] * 30, empty))
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable):
        await engine.read([segment(*range(2, 48))], empty)
    gate.open.set()
    result = await reading
    await crowd
    memory, total = empty, np.zeros(encoder.config.width)
    with torch.inference_mode():
        for part in sequence:
            output = encoder([part], [memory])
            assert output.memories is not None
            memory, total = output.memories[0], total + output.sums[0].numpy()
    np.testing.assert_allclose(result.total, total, atol=1e-4)
    assert (result.tokens, result.memory.tokens_seen) == (27, 21)


async def test_token_vectors_are_kept_where_asked_and_hold_no_step_alive(
    engine: Engine, encoder: Encoder
):
    gate, empty = Gate(encoder), encoder.empty_memory()
    blocker = asyncio.create_task(engine.submit([segment(9)], empty))
    await asyncio.sleep(0.05)
    wanting = asyncio.create_task(engine.submit([segment(5, 6, 7)], empty, keep_tokens=True))
    other = asyncio.create_task(engine.submit([segment(8, 8)], empty))
    await asyncio.sleep(0.05)
    gate.open.set()
    [kept], [without], _ = await wanting, await other, await blocker
    with torch.inference_mode():
        expected = encoder([segment(5, 6, 7)], [empty])
    assert kept.token_vectors is not None
    np.testing.assert_allclose(kept.token_vectors, expected.tokens.numpy(), atol=1e-5)
    np.testing.assert_allclose(kept.token_vectors.sum(0), kept.total, atol=1e-5)
    assert kept.token_vectors.base is None, "a view would keep the whole step"
    assert without.token_vectors is None


async def test_token_vectors_of_a_sequence_come_end_to_end(engine: Engine, encoder: Encoder):
    sequence = [segment(2, 3, 4), segment(5)]
    result = await engine.read(sequence, encoder.empty_memory(), keep_tokens=True)
    assert result.token_vectors is not None
    assert result.token_vectors.shape == (8, encoder.config.width)
    np.testing.assert_allclose(result.token_vectors.sum(0), result.total, atol=1e-5)
    plain = await engine.read(sequence, encoder.empty_memory())
    assert plain.token_vectors is None
    np.testing.assert_array_equal(plain.total, result.total)
