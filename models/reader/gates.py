"""When the reader's memory forgets, what it writes, and how much of it is heard."""

from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SHIFT_DECAYS: Final = (0.5, 0.9, 0.98)
"""How much of the moving averages a segment leaves that a segment's likeness to the past is measured against."""
SHIFT_FEATURES: Final = len(SHIFT_DECAYS) + 1
HIDDEN: Final = 64
_FASTEST, _SLOWEST = 0.0, 6.0
"""Logits of what the first and the last head keep from a segment to the next at the start: half, and 0.998."""
_DROPPED = 0.5
_OPENING = 5.0
_FAINT = -2.0
_LARGEST_WRITE = 8.0


class _HeadNetwork(nn.Module):
    """One hidden layer over a segment's features, shared by the heads but for a bias of their own.

    Args:
        inputs: Width of the features.
        heads: Number of heads.
        outputs: Numbers per head; 0 from all heads at the start.
    """

    def __init__(self, inputs: int, scalars: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_DROPPED)
        self.features = nn.Linear(inputs, HIDDEN)
        self.shift = nn.Linear(scalars, HIDDEN)
        self.head = nn.Parameter(torch.empty(heads, HIDDEN))
        self.out = nn.Linear(HIDDEN, outputs)
        nn.init.normal_(self.head, std=0.5)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, features: Float[Tensor, "*b h i"], shift: Float[Tensor, "*b f"]
    ) -> Float[Tensor, "*b h o"]:
        hidden = self.features(self.dropout(features)) + self.shift(shift).unsqueeze(-2) + self.head
        return self.out(F.gelu(hidden))  # type: ignore[no-any-return] # Module.__call__ is untyped


class WriteGate(nn.Module):
    """How much of its past each head keeps at a segment, and how heavily the segment is written."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.network = _HeadNetwork(2 * width, SHIFT_FEATURES, heads, 2)
        fast = torch.linspace(_FASTEST, _SLOWEST, heads - heads // 2)
        slow = torch.full((heads // 2,), _SLOWEST)
        self.keep = nn.Parameter(torch.cat([fast, slow]))
        self.weight = nn.Parameter(torch.zeros(heads))
        self.opening = nn.Parameter(
            torch.cat([torch.zeros_like(fast), torch.full_like(slow, _OPENING)])
        )

    def forward(
        self,
        direction: Float[Tensor, "*b d"],
        topics: Float[Tensor, "*b h d"],
        shift: Float[Tensor, "*b f"],
    ) -> tuple[Float[Tensor, "*b h"], Float[Tensor, "*b h"]]:
        """Return the share that is kept, in (0, 1), and the weight of what is written, > 0."""
        keep, weight = self.logits(direction, topics, shift)
        return torch.sigmoid(keep), weight

    def logits(
        self,
        direction: Float[Tensor, "*b d"],
        topics: Float[Tensor, "*b h d"],
        shift: Float[Tensor, "*b f"],
    ) -> tuple[Float[Tensor, "*b h"], Float[Tensor, "*b h"]]:
        """Return the same, with the share before its sigmoid: a product of many shares is a sum of its logarithms."""
        scaled = topics.shape[-1] ** 0.5
        features = torch.cat(
            [scaled * direction.unsqueeze(-2).expand_as(topics), scaled * topics], -1
        )
        keep, weight = self.network(features, shift).unbind(-1)
        weight = weight + self.weight + self.opening * shift[..., -1:]
        return keep + self.keep, torch.exp(weight.clamp(max=_LARGEST_WRITE))


class OutputGate(nn.Module):
    """How much of what a head read is added to the segment's vector."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.network = _HeadNetwork(3 * width, SHIFT_FEATURES + 2 * heads, heads, 1)
        self.bias = nn.Parameter(
            torch.cat(
                [
                    torch.full((heads - heads // 2,), _FAINT - 1),
                    torch.full((heads // 2,), _FAINT + 0.5),
                ]
            )
        )

    def forward(
        self,
        direction: Float[Tensor, "*b d"],
        read: Float[Tensor, "*b h d"],
        mention: Float[Tensor, "*b h"],
        shift: Float[Tensor, "*b f"],
    ) -> Float[Tensor, "*b h"]:
        """Return a share in (0, 1)."""
        scaled = read.shape[-1] ** 0.5
        own = direction.unsqueeze(-2).expand_as(read)
        features = torch.cat([scaled * own, scaled * read, scaled * own * read], -1)
        shift = torch.cat([shift, 3 * (own * read).sum(-1), 3 * mention], -1)
        return torch.sigmoid(self.network(features, shift).squeeze(-1) + self.bias)
