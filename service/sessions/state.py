"""A session's state on its way through the model: tensors, and their way to bytes and back."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.memory import Memory
from service.errors import InternalError
from service.sessions.codec import StateArrays, document_vector, encode
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
        if not arrays.parts:
            return cls(empty, document, arrays.tokens)
        parts = {
            name: torch.from_numpy(part.astype(np.float32)) for name, part in arrays.parts.items()
        }
        return cls(Memory(parts, arrays.tokens_seen), document, arrays.tokens)

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
            memory.shapes == self.memory.shapes
            and reading.embedding.shape == self.document.shape
            and bool(np.isfinite(reading.embedding).all())
            and all(
                part.dtype == torch.float32 and bool(torch.isfinite(part).all())
                for part in memory.parts.values()
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
                parts={
                    name: part.detach().cpu().numpy() for name, part in self.memory.parts.items()
                },
                tokens_seen=self.memory.tokens_seen,
                document=self.document,
                tokens=self.tokens,
            )
        )
