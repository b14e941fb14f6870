import asyncio
import itertools
import time

import pytest

from loadtests.bench.generate import Request
from loadtests.bench.load import Answer, closed_loop, open_loop

OK = Answer("ok")


def even(count: int, per_s: float, session: int | None = None) -> list[Request]:
    return [Request(index / per_s, ("a",), session, index) for index in range(count)]


class OneAtATime:
    """A server with a single worker that stalls once."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._turn = asyncio.Lock()

    async def __call__(self, request: Request) -> Answer:
        async with self._turn:
            await asyncio.sleep(self._stall_s if request.first_seq == 0 else 0.001)
        return OK


async def test_a_stall_is_paid_for_by_every_request_that_came_during_it():
    outcomes = await open_loop(even(20, 100), OneAtATime(0.3))
    # Sent 10 ms apart behind a stall of 300 ms: a client that waited for answers would see one slow request.
    assert sum(one.latency_s > 0.1 for one in outcomes) >= 15
    assert [one.request.first_seq for one in outcomes] == list(range(20))
    assert outcomes[-1].sent_s - outcomes[0].sent_s == pytest.approx(0.19, abs=0.05)


async def test_latency_counts_from_the_intended_start_of_a_session_that_waits_for_itself():
    async def slow(_: Request) -> Answer:
        await asyncio.sleep(0.05)
        return OK

    outcomes = await open_loop(even(5, 1000, session=1), slow)
    assert outcomes[-1].latency_s == pytest.approx(0.25, abs=0.08)
    assert outcomes[-1].done_s - outcomes[-1].sent_s < 0.1


async def test_requests_of_a_session_keep_their_order():
    seen = []

    async def send(request: Request) -> Answer:
        await asyncio.sleep(0.01 if request.first_seq == 0 else 0)
        seen.append(request.first_seq)
        return OK

    await open_loop(even(6, 5000, session=3), send)
    assert seen == list(range(6))


async def test_a_closed_loop_keeps_so_many_under_way_and_ends():
    under_way, most, sent = 0, 0, 0

    async def send(_: Request) -> Answer:
        nonlocal under_way, most, sent
        under_way += 1
        most, sent = max(most, under_way), sent + 1
        await asyncio.sleep(0.005)
        under_way -= 1
        return OK

    begun = time.perf_counter()
    endless = ((request,) for request in itertools.cycle(even(3, 1)))
    outcomes = await closed_loop(endless, send, 4, 0.2)
    assert most == 4
    assert len(outcomes) == sent > 20
    assert time.perf_counter() - begun < 2


async def test_a_closed_loop_ends_with_its_work_and_keeps_units_in_order():
    seen: dict[int, list[int]] = {}

    async def send(request: Request) -> Answer:
        await asyncio.sleep(0.001)
        assert request.session is not None
        seen.setdefault(request.session, []).append(request.first_seq)
        return OK

    units = [even(4, 1, session=number) for number in range(5)]
    outcomes = await closed_loop(units, send, 2, 60)
    assert len(outcomes) == 20
    assert seen == {number: [0, 1, 2, 3] for number in range(5)}
