"""What the appender needs from a model: read one chunk against a memory, and nothing else."""

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
        memory: The memory afterwards; a new value.
        times: Where the time went.
    """

    embedding: NDArray[np.float32]
    tokens: int
    memory: Memory
    times: StageTimes


class ChunkReader(Protocol):
    """A model that reads chunks. Equal text and equal memory give an equal reading."""

    def empty(self) -> Memory:
        """Return the memory of a document of which nothing has been read."""
        ...

    async def read(self, text: str, memory: Memory) -> Reading:
        """Read one chunk of any length; `memory` stays as it is.

        Raises:
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...
