"""The step loop: forms a batch, runs it on the one compute thread, hands results out, goes on."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, Self

import numpy as np
import structlog
from numpy.typing import NDArray

from models.encoder import Encoder
from models.memory import Memory
from models.packing import Segment
from service.engine.admission import Admission
from service.engine.queue import FairQueue
from service.engine.results import SegmentResult, SequenceResult
from service.engine.step import Waiting, forward
from service.errors import InternalError, RoundFull, Unavailable

log = structlog.get_logger(__name__)


class EngineObserver(Protocol):
    """What the engine reports."""

    def batch(self, tokens: int, sequences: int) -> None:
        """A step of so many tokens and sequences has run."""
        ...

    def queue_wait(self, seconds: float) -> None:
        """A segment waited so long for its step."""
        ...


class Engine:
    """Continuous batching at segment granularity.

    Segments of many requests and sessions are packed into one forward pass; new work joins between steps. Two
    segments of one sequence are never in a step together, because the second needs the first one's memory.

    Args:
        encoder: The model.
        step_tokens: Most tokens of a step.
        queue_tokens: Most tokens waiting; more are refused.
        observer: Hears of steps and waits.
        round_s: Most seconds that a short query may have to wait; see `Admission`.
    """

    def __init__(
        self,
        encoder: Encoder,
        step_tokens: int,
        queue_tokens: int,
        observer: EngineObserver,
        round_s: float = 6.0,
    ) -> None:
        self._encoder = encoder
        self.step_tokens = step_tokens
        self._admission = Admission(step_tokens, queue_tokens, round_s)
        self._observer = observer
        self._queue: FairQueue[Waiting] = FairQueue(step_tokens)
        self._work = asyncio.Event()
        # One compute thread: torch uses all cores inside it, and two forwards at once would fight over them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False
        self.last_step_at = float("-inf")
        """`time.monotonic()` of the last step that succeeded."""
        self._busy_s = 0.0
        self._begun: float | None = None
        self.asked_tokens = 0
        """Tokens that were to be let in so far."""
        self.refused_tokens = 0
        """Those of them that were not."""

    @property
    def busy_s(self) -> float:
        """Seconds spent in steps so far, with what the running one has taken."""
        return self._busy_s + (0.0 if self._begun is None else time.monotonic() - self._begun)

    @property
    def queued_tokens(self) -> int:
        """Tokens waiting for a step."""
        return self._queue.tokens

    @property
    def divisible_tokens(self) -> int:
        """Tokens waiting, of each job no more than a step: what more engines would share, for no job has two."""
        return self._queue.tokens_up_to(self.step_tokens)

    def full(self) -> RoundFull | None:
        """Return why any work would be refused now; None if there is room for some."""
        return self._admission.full(self._queue.round_tokens)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._run(), name="engine")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stopping = True
        self._work.set()
        if self._loop is not None:
            await self._loop  # the step that runs is finished and answered
        for waiting in self._queue.take(self._queue.tokens):
            if not waiting.done.done():
                waiting.done.set_exception(_stopping())
        self._thread.shutdown(wait=True)

    async def submit(
        self,
        segments: Sequence[Segment],
        memory: Memory | None = None,
        *,
        keep_tokens: bool = False,
        keep_memory: bool = True,
    ) -> list[SegmentResult]:
        """Encode independent segments.

        Args:
            segments: Each from a sequence of its own.
            memory: What each of them reads and writes, as values; required for a variant with memory.
            keep_tokens: Whether their token vectors are wanted too.
            keep_memory: Whether their memories afterwards are wanted; 2048 of them are 600 MB.

        Raises:
            Unavailable: `overloaded`, `draining`; nothing was queued.
        """
        self._admit([len(segment.ids) for segment in segments])
        return await self._enqueue(
            segments, memory, keep_tokens=keep_tokens, keep_memory=keep_memory
        )

    async def read(
        self,
        segments: Sequence[Segment],
        memory: Memory,
        *,
        keep_tokens: bool = False,
        admitted: bool = False,
    ) -> SequenceResult:
        """Encode the segments of one sequence in order, each with the memory the one before left.

        The sequence is admitted once: what was begun is not refused in the middle, and never has more than one
        segment waiting.

        Args:
            segments: Its segments.
            memory: What the first one reads and writes.
            keep_tokens: Whether the token vectors are wanted too.
            admitted: Whether it goes on with a request that was admitted.

        Raises:
            Unavailable: `overloaded` unless admitted, before anything was read; `draining`.
        """
        if not admitted:
            self._admit([len(segments[0].ids)])
        total = np.zeros(self._encoder.config.width)
        tokens, queue_s, infer_s = 0, 0.0, 0.0
        kept: list[NDArray[np.float32]] = []
        for segment in segments:
            [result] = await self._enqueue(
                [segment], memory, keep_tokens=keep_tokens, keep_memory=True
            )
            if result.memory is None:
                raise TypeError("this variant has no memory to read with")
            memory = result.memory
            total += result.total
            tokens += result.tokens
            queue_s += result.queue_s
            infer_s += result.infer_s
            if result.token_vectors is not None:
                kept.append(result.token_vectors)
        token_vectors = np.concatenate(kept) if kept else None
        return SequenceResult(total, tokens, memory, queue_s, infer_s, token_vectors)

    def _admit(self, costs: Sequence[int]) -> None:
        if self._stopping:
            raise _stopping()
        tokens = sum(costs)
        self.asked_tokens += tokens
        try:
            self._admission.admit(costs, self._queue.tokens, self._queue.round_tokens)
        except Unavailable:
            self.refused_tokens += tokens
            raise

    async def _enqueue(
        self,
        segments: Sequence[Segment],
        memory: Memory | None,
        *,
        keep_tokens: bool,
        keep_memory: bool,
    ) -> list[SegmentResult]:
        if self._stopping:
            raise _stopping()
        future = asyncio.get_running_loop().create_future
        since = time.monotonic()
        waiting = [
            Waiting(segment, memory, keep_tokens, keep_memory, future(), since)
            for segment in segments
        ]
        job = self._queue.add([(one, len(one.segment.ids)) for one in waiting])
        self._work.set()
        try:
            return list(await asyncio.gather(*(one.done for one in waiting)))
        finally:
            self._queue.cancel(job)  # the caller is gone or failed: what still waits is no use

    async def _run(self) -> None:
        while not self._stopping:
            if self._queue:
                await self._step(self._queue.take(self.step_tokens))
            else:
                self._work.clear()
                await self._work.wait()

    async def _step(self, step: list[Waiting]) -> None:
        begun = self._begun = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, forward, self._encoder, step, begun)
        except Exception:  # a bug in the forward pass must not end the loop for everyone
            log.exception("engine_step_failed", sequences=len(step))
            for waiting in step:
                if not waiting.done.done():
                    waiting.done.set_exception(
                        InternalError("internal_error", "The forward pass failed.")
                    )
            return
        finally:
            self._begun = None
            self._busy_s += time.monotonic() - begun
        self.last_step_at = time.monotonic()
        tokens = sum(result.tokens for result in results)
        self._admission.ran(tokens, self.last_step_at - begun)
        self._observer.batch(tokens, len(step))
        for waiting, result in zip(step, results, strict=True):
            self._observer.queue_wait(result.queue_s)
            if not waiting.done.done():  # the caller may have been cancelled meanwhile
                waiting.done.set_result(result)


def _stopping() -> Unavailable:
    return Unavailable("draining", "The replica is stopping; send the request again.")
