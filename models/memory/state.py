"""A session's compressive memory as a frozen value."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Memory:
    """Compressive memory of one sequence, all layers and heads.

    *Equation*: Infini-attention, arXiv 2404.07143v2: `matrix` is M, `normaliser` is z of equations 7 to 9.

    Attributes:
        matrix: M, float32, *shape* (l, h, k, v).
        normaliser: z, float32, *shape* (l, h, k).
        tokens_seen: Tokens written so far. 0 means empty, and an empty memory is never read:
            callers branch on it instead of dividing by z = 0.

    *State*: whoever holds the value owns it; nothing updates it in place, so it may be shared and kept.
    """

    matrix: Tensor
    normaliser: Tensor
    tokens_seen: int

    @classmethod
    def empty(cls, layers: int, heads: int, key_width: int, value_width: int) -> "Memory":
        """Return the memory of a document of which nothing has been read."""
        return cls(
            torch.zeros(layers, heads, key_width, value_width),
            torch.zeros(layers, heads, key_width),
            0,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors; the same whatever was read."""
        return (self.matrix.numel() + self.normaliser.numel()) * 4
