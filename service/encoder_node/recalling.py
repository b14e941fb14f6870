"""What a model with a recall head remembers for a question; the head itself is the models' affair."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.memory import Memory
from models.packing import Segment
from service.errors import Unavailable
from service.ports import Recollection

PREFIX: Final = "recall."
"""Names of the head's parts in a session's memory begin with it; the head itself knows them without."""
NOTHING: Final = Recollection(answer=None, confidence=0.0, found=False)


class Recalled(Protocol):
    """What a head answers; `models.recall.RecallAnswer` is one."""

    @property
    def digits(self) -> str:
        """The number; empty if none was found."""
        ...

    @property
    def confidence(self) -> tuple[float, ...]:
        """Vote of each digit, 1 for a number that was stored just as it is asked for."""
        ...

    @property
    def found(self) -> bool:
        """Whether there is an answer."""
        ...


class RecallHead(Protocol):
    """Reads answers from a memory; `models.recall.RecallHead` is one."""

    def answer(self, states: Tensor, segment: Segment, parts: Mapping[str, Tensor]) -> Recalled:
        """Look up what a question asks for.

        Args:
            states: The encoder's last layer over the question, CLS and SEP included, *shape* (t, d).
            segment: The question's tokens.
            parts: The head's parts of a memory; they stay as they are.
        """
        ...


class Recaller:
    """Asks a recall head on a thread of its own: the event loop goes on, and so do the engine's steps.

    Args:
        head: The head.
    """

    def __init__(self, head: RecallHead) -> None:
        self._head = head
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recall")
        self._closed = False

    def close(self) -> None:
        """Finish what runs or waits; what comes later is refused."""
        self._closed = True
        self._thread.shutdown(wait=True)

    async def recall(
        self, states: Sequence[NDArray[np.float32]], segments: Sequence[Segment], memory: Memory
    ) -> list[Recollection]:
        """Return what a memory says to each question; an empty one says nothing and is not read.

        Args:
            states: The last layer over each question, (tokens, dimensions).
            segments: Each question's tokens.
            memory: A session's memory; it stays as it is.

        Raises:
            Unavailable: `draining`.
        """
        if self._closed:
            raise Unavailable("draining", "The replica is stopping; send the request again.")
        parts = {
            name.removeprefix(PREFIX): part
            for name, part in memory.parts.items()
            if name.startswith(PREFIX)
        }
        if memory.tokens_seen == 0 or not parts:
            return [NOTHING] * len(segments)

        def work() -> list[Recollection]:
            with torch.inference_mode():
                return [
                    _recollection(self._head.answer(torch.from_numpy(one), segment, parts))
                    for one, segment in zip(states, segments, strict=True)
                ]

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _recollection(found: Recalled) -> Recollection:
    if not found.found:
        return Recollection(None, _certainty(found.confidence), found=False)
    return Recollection(found.digits, _certainty(found.confidence), found=True)


def _certainty(votes: Sequence[float]) -> float:
    """Return the least vote in [0, 1]; least squares may go a little beyond at either end."""
    return min(max(min(votes, default=0.0), 0.0), 1.0)
