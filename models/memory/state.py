"""A session's compressive memory as a frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]
"""Tensors of a memory by name."""

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of a memory's parts by name."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Compressive memory of one sequence: whatever tensors its owners keep, under their names.

    Attributes:
        parts: Tensors by name, float32. Those of the attention have the names its memory rule gives them and a leading
            layer axis; another owner's have a prefix, `owner.name`, and any shape. Each owner hands on what is not its.
        tokens_seen: Tokens written so far. 0 means empty, and an empty memory is never read:
            callers branch on it instead of dividing by a sum of nothing.

    *State*: whoever holds the value owns it; nothing updates it in place, so it may be shared and kept.
    """

    parts: Parts
    tokens_seen: int

    def __post_init__(self) -> None:
        # A view of a copy: whoever built the dictionary cannot change the value with it.
        object.__setattr__(self, "parts", MappingProxyType(dict(self.parts)))

    @classmethod
    def empty(cls, shapes: Shapes, device: torch.device | None = None) -> "Memory":
        """Return the memory of a document of which nothing has been read: all parts zero.

        Args:
            shapes: Shape of each part.
            device: Where the parts are to lie; None for torch's default.
        """
        parts = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
        return cls(parts, 0)

    def to(self, device: torch.device) -> "Memory":
        """Return the same memory on a device: this very value if it is there already."""
        if all(part.device == device for part in self.parts.values()):
            return self
        parts = {name: part.to(device) for name, part in self.parts.items()}
        return Memory(parts, self.tokens_seen)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each part; the same whatever was read."""
        return {name: tuple(part.shape) for name, part in self.parts.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors; the same whatever was read."""
        return sum(part.numel() * part.element_size() for part in self.parts.values())
