"""Sending requests: at their intended times whatever the server does, or as fast as it answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from loadtests.bench.generate import Request

Status: TypeAlias = Literal["ok", "refused", "failed"]
"""`refused` is an answer that says to come again later: 429 or 503."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: Whether it can be used.
        body: The answer, unread; empty where there is none.
        detail: What went wrong, for people.
    """

    status: Status
    body: bytes = b""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request, done.

    Attributes:
        request: What was sent.
        intended_s: When it was meant to start, on the clock of `time.perf_counter`.
        sent_s: When it did.
        done_s: When its answer was there.
        answer: What came back.
    """

    request: Request
    intended_s: float
    sent_s: float
    done_s: float
    answer: Answer

    @property
    def latency_s(self) -> float:
        """Seconds from the intended start: a request that had to wait for its turn waited, too."""
        return self.done_s - self.intended_s

    @property
    def ok(self) -> bool:
        """Whether the answer can be used."""
        return self.answer.status == "ok"


Send: TypeAlias = Callable[[Request], Awaitable[Answer]]
_LEAD_S: Final = 0.05
"""Between making the tasks and the first intended start."""


async def open_loop(requests: Sequence[Request], send: Send) -> list[Outcome]:
    """Send each request at its intended time, however many are under way.

    A slow server does not slow the arrivals down, and latency counts from the intended start, so a stall is paid for
    by every request that came during it (no coordinated omission). Requests of one session wait for each other.

    Returns:
        The outcomes in the order of the requests.
    """
    begin_s = time.perf_counter() + _LEAD_S
    turns: dict[int, asyncio.Lock] = {}

    async def one(request: Request) -> Outcome:
        intended_s = begin_s + request.at_s
        await asyncio.sleep(max(0.0, intended_s - time.perf_counter()))
        if request.session is None:
            return await _timed(request, send, intended_s)
        # A fork waits for its parent's turn by having been intended after it; its own session starts with it.
        async with turns.setdefault(request.session, asyncio.Lock()):
            return await _timed(request, send, intended_s)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(request)) for request in requests]
    return [task.result() for task in tasks]


async def closed_loop(
    units: Iterable[Sequence[Request]], send: Send, concurrency: int, seconds: float
) -> list[Outcome]:
    """Keep a number of requests under way for some time.

    Args:
        units: Requests that must follow each other, e.g. those of a session; a stateless request is a unit of its own.
        send: Sends one.
        concurrency: Workers, each with one unit at a time.
        seconds: After this long no new request begins; those under way are waited for.

    Returns:
        The outcomes, by worker.
    """
    waiting = iter(units)
    deadline_s = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(_work(waiting, send, deadline_s)) for _ in range(concurrency)]
    return [outcome for worker in workers for outcome in worker.result()]


async def _work(
    waiting: Iterator[Sequence[Request]], send: Send, deadline_s: float
) -> list[Outcome]:
    done: list[Outcome] = []
    for unit in waiting:
        for request in unit:
            if time.perf_counter() >= deadline_s:
                return done
            done.append(await _timed(request, send, time.perf_counter()))
    return done


async def _timed(request: Request, send: Send, intended_s: float) -> Outcome:
    sent_s = time.perf_counter()
    answer = await send(request)
    return Outcome(request, intended_s, sent_s, time.perf_counter(), answer)
