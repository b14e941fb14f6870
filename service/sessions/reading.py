"""What the appender needs from a model: read one chunk against a memory, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.memory import Memory
from service.ports import StageTimes


@dataclass(frozen=True, slots=True)
class Reading:
    """One chunk, read.

    Attributes:
        embedding: float32, (d,), unit length; of a chunk without tokens the model's vector of an empty text.
        tokens: Content tokens of the chunk.
        read_tokens: Tokens encoded, CLS and SEP of every segment included.
        memory: The memory afterwards; a new value.
        times: Where the time went.
    """

    embedding: NDArray[np.float32]
    tokens: int
    read_tokens: int
    memory: Memory
    times: StageTimes


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Chunks, encoded against a memory that already knows them.

    Attributes:
        embeddings: float32, (chunks, d), unit length.
        tokens: Content tokens of each chunk.
        read_tokens: Tokens encoded, CLS and SEP of every segment included.
        times: Where the time went.
    """

    embeddings: NDArray[np.float32]
    tokens: tuple[int, ...]
    read_tokens: int
    times: StageTimes


class ChunkReader(Protocol):
    """A model that reads chunks. Equal text and equal memory give an equal reading."""

    def empty(self) -> Memory:
        """Return the memory of a document of which nothing has been read."""
        ...

    async def read(self, text: str, memory: Memory, *, admitted: bool = False) -> Reading:
        """Read one chunk of any length; `memory` stays as it is.

        Args:
            text: The chunk.
            memory: What was read before.
            admitted: Whether it goes on with a request that was let in, and is not refused for what else waits.

        Raises:
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...

    async def look(self, texts: Sequence[str], memory: Memory) -> SecondLook:
        """Encode chunks of any length, at least one, each against `memory`; nothing is written.

        Raises:
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...
