"""What a model with a recall head remembers for a question; the head itself is the models' affair."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import torch

from models.encoder import Encoder
from models.memory import Memory
from models.packing import Segment
from models.recall import RecallAnswer, RecallHead
from service.errors import Unavailable
from service.ports import Recollection

NOTHING: Final = Recollection(answer=None, confidence=0.0, found=False)


class Recaller:
    """Asks a recall head on a thread of its own: the event loop goes on, and so do the engine's steps.

    Args:
        encoder: Whose lower layers the head reads.
        head: The encoder's recall head.
    """

    def __init__(self, encoder: Encoder, head: RecallHead) -> None:
        self._encoder, self._head = encoder, head
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
            Unavailable: `draining`.
        """
        if self._closed:
            raise Unavailable("draining", "The replica is stopping; send the request again.")
        if memory.tokens_seen == 0:
            return [NOTHING] * len(segments)
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._ask, segments, memory
        )

    def _ask(self, segments: Sequence[Segment], memory: Memory) -> list[Recollection]:
        with torch.inference_mode():
            states = self._encoder.states(segments, self._head.options.layer)
            return [
                _recollection(self._head.answer(one, segment, memory.parts))
                for one, segment in zip(states, segments, strict=True)
            ]


def _recollection(found: RecallAnswer) -> Recollection:
    if not found.found:
        return Recollection(None, _certainty(found.confidence), found=False)
    return Recollection(found.digits, _certainty(found.confidence), found=True)


def _certainty(votes: Sequence[float]) -> float:
    """Return the least vote in [0, 1]; least squares may go a little beyond at either end."""
    return min(max(min(votes, default=0.0), 0.0), 1.0)
