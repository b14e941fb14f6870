"""What a model with a recall head remembers for a question; the head itself is the models' affair."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import torch

from models.encoder import Encoder
from models.memory import Memory
from models.packing import Segment, full_steps
from models.recall import GRAM, RecallAnswer, RecallHead
from service.errors import Unavailable
from service.ports import Recollection

MOST_AT_ONCE: Final = 8
"""Requests of a replica whose questions are looked up, or wait for it; more are refused."""
NOTHING: Final = Recollection(answer=None, confidence=0.0, found=False)


class Recaller:
    """Asks a recall head on a thread of its own: the event loop goes on, and so do the engine's steps.

    Args:
        encoder: Whose lower layers the head reads.
        head: The encoder's recall head.
        step_tokens: Most tokens that are encoded at once; a question is never cut.
    """

    def __init__(self, encoder: Encoder, head: RecallHead, step_tokens: int) -> None:
        self._encoder, self._head, self._step_tokens = encoder, head, step_tokens
        self._at_once = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recall")
        self._closed = False

    def close(self) -> None:
        """Finish what runs or waits; what comes later is refused."""
        self._closed = True
        self._thread.shutdown(wait=True)

    async def recall(self, segments: Sequence[Segment], memory: Memory) -> list[Recollection]:
        """Return what a memory says to each question; an empty one says nothing and is not read.

        Args:
            segments: Each question's tokens.
            memory: A session's memory; it stays as it is.

        Raises:
            Unavailable: `draining`, or `overloaded` by other questions.
        """
        if self._closed:
            raise Unavailable("draining", "The replica is stopping; send the request again.")
        if not memory.parts[GRAM].any():
            return [NOTHING] * len(segments)
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._ask, segments, memory
            )

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._at_once >= MOST_AT_ONCE:
            raise Unavailable(
                "overloaded", "Too many requests wait for what sessions remember; try again."
            )
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1

    def _ask(self, segments: Sequence[Segment], memory: Memory) -> list[Recollection]:
        found: dict[int, Recollection] = {}
        with torch.inference_mode():
            for step in full_steps(segments, self._step_tokens):
                asked = [segments[i] for i in step]
                states = self._encoder.states(asked, self._head.options.layer)
                answers = self._head.answers(states, asked, memory.parts)
                found.update(zip(step, map(_recollection, answers), strict=True))
        return [found[i] for i in range(len(segments))]


def _recollection(found: RecallAnswer) -> Recollection:
    if not found.found:
        return Recollection(None, _certainty(found.confidence), found=False)
    return Recollection(found.digits, _certainty(found.confidence), found=True)


def _certainty(votes: Sequence[float]) -> float:
    """Return the least vote in [0, 1]; least squares may go a little beyond at either end."""
    return min(max(min(votes, default=0.0), 0.0), 1.0)
