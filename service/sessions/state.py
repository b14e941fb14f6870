"""A session's state on its way through the model: tensors, and their way to bytes and back."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.memory import Memory
from service.errors import InternalError
from service.sessions.codec import MemoryShape, StateArrays, document_vector, encode
from service.sessions.reading import Reading


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session has read, as a value that is shared and never written to.

    Attributes:
        memory: Compressive memory, float32, on whatever device the model left it.
        document: Sum of chunk vectors times their tokens, float64, (d,).
        tokens: Content tokens of the document.
    """

    memory: Memory
    document: NDArray[np.float64]
    tokens: int

    @classmethod
    def from_arrays(cls, arrays: StateArrays, empty: Memory) -> "SessionState":
        """Build the state from what was stored; `empty` stands in while nothing has been read."""
        # Stored arrays are read-only views that keep all of the stored bytes alive: copy them.
        document = arrays.document.copy()
        if arrays.matrix.size == 0:
            return cls(empty, document, arrays.tokens)
        memory = Memory(
            torch.from_numpy(arrays.matrix.astype(np.float32)),
            torch.from_numpy(arrays.normaliser.astype(np.float32)),
            arrays.tokens_seen,
        )
        return cls(memory, document, arrays.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes of tensors and arrays; the same whatever was read."""
        return self.memory.nbytes + self.document.nbytes

    @property
    def vector(self) -> NDArray[np.float32]:
        """Running document vector, float32, (d,), unit length; zeros before the first token."""
        return document_vector(self.document)

    def after(self, reading: Reading) -> "SessionState":
        """Return the state once a chunk was read; a chunk without tokens weighs nothing.

        Raises:
            InternalError: The reading is not finite or not of this session's shape. Committed, it
                would spoil every vector that follows.
        """
        memory = reading.memory
        sound = (
            memory_shape(memory) == memory_shape(self.memory)
            and memory.normaliser.shape == self.memory.normaliser.shape
            and memory.matrix.dtype == memory.normaliser.dtype == torch.float32
            and reading.embedding.shape == self.document.shape
            and bool(np.isfinite(reading.embedding).all())
            and bool(
                torch.isfinite(memory.matrix).all() and torch.isfinite(memory.normaliser).all()
            )
        )
        if not sound:
            raise InternalError("internal_error", "the model returned an unusable reading")
        weighted = reading.embedding.astype(np.float64) * reading.tokens
        return SessionState(memory, self.document + weighted, self.tokens + reading.tokens)

    def encode(self) -> bytes:
        """Return the bytes to store."""
        return encode(
            StateArrays(
                matrix=self.memory.matrix.detach().cpu().numpy(),
                normaliser=self.memory.normaliser.detach().cpu().numpy(),
                tokens_seen=self.memory.tokens_seen,
                document=self.document,
                tokens=self.tokens,
            )
        )


def memory_shape(memory: Memory) -> MemoryShape:
    """Return layers, heads, key width and value width of a memory."""
    layers, heads, keys, values = memory.matrix.shape
    return layers, heads, keys, values
