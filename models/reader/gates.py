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
"""Logits of what heads keep from a segment to the next at the start: from half, for the first, to 0.998."""
_OPENING = 5.0
"""How much more the heads of the opening write at a document's first segment, as a logarithm: 148 times."""
_FAINT, _HEARD = -3.0, -1.5
"""Logits of how much is heard at the start: of most heads hardly anything, of the opening's a fifth each."""
_LARGEST_WRITE = 8.0
_SHARPENED = 3.0
"""Cosines between what is read and a segment differ by tenths; signs should by about 1."""
_DROPPED = 0.5
"""Features left out in training. Documents are few: gates that see all of a vector learn its topics by heart."""


class _HeadNetwork(nn.Module):
    """One hidden layer over a segment's features, shared by the heads but for a bias of their own.

    Args:
        features: Width of the features that describe what a segment is about; some are dropped in training.
        signs: Number of features that say how it lies to its past; all are seen.
        heads: Number of heads.
        outputs: Numbers per head; 0 from all heads at the start.
        by_signs: The last heads, as many as this, see the signs alone.
    """

    def __init__(
        self, features: int, signs: int, heads: int, outputs: int, by_signs: int = 0
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_DROPPED)
        self.features = nn.Linear(features, HIDDEN)
        self.signs = nn.Linear(signs, HIDDEN)
        self.head = nn.Parameter(torch.empty(heads, HIDDEN))
        self.out = nn.Linear(HIDDEN, outputs)
        nn.init.normal_(self.head, std=0.5)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        sees = torch.arange(heads) < heads - by_signs
        self.register_buffer("sees", sees.float().unsqueeze(-1), persistent=False)

    def forward(
        self, features: Float[Tensor, "*b h i"], signs: Float[Tensor, "*b s"]
    ) -> Float[Tensor, "*b h o"]:
        seen = self.sees * self.features(self.dropout(features))
        hidden = seen + self.signs(signs).unsqueeze(-2) + self.head
        return self.out(F.gelu(hidden))  # type: ignore[no-any-return] # Module.__call__ is untyped


class WriteGate(nn.Module):
    """How much of its past each head keeps at a segment, and how heavily the segment is written.

    Half of the heads begin as memories of a document's opening, and decide by the segment's place and its likeness to
    what came before; the others see what it is about, and begin as moving averages of different lengths.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        half = heads // 2
        self.network = _HeadNetwork(2 * width, SHIFT_FEATURES, heads, 2, by_signs=half)
        averages = torch.linspace(_FASTEST, _SLOWEST, heads - half)
        self.keep = nn.Parameter(torch.cat([averages, torch.full((half,), _SLOWEST)]))
        self.weight = nn.Parameter(torch.zeros(heads))
        opening = torch.full((half,), _OPENING)
        self.opening = nn.Parameter(torch.cat([torch.zeros_like(averages), opening]))

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
    """How much of what a head read is added to the segment's vector.

    For the opening's heads by signs alone: place, likeness, and mentions here and before.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        half = heads // 2
        self.network = _HeadNetwork(3 * width, SHIFT_FEATURES + 3 * heads, heads, 1, by_signs=half)
        self.bias = nn.Parameter(
            torch.cat([torch.full((heads - half,), _FAINT), torch.full((half,), _HEARD)])
        )

    def forward(
        self,
        direction: Float[Tensor, "*b d"],
        read: Float[Tensor, "*b h d"],
        mention: Float[Tensor, "*b h"],
        named: Float[Tensor, "*b h"],
        shift: Float[Tensor, "*b f"],
    ) -> Float[Tensor, "*b h"]:
        """Return a share in (0, 1)."""
        scaled = read.shape[-1] ** 0.5
        own = direction.unsqueeze(-2).expand_as(read)
        features = torch.cat([scaled * own, scaled * read, scaled * own * read], -1)
        likeness = (own * read).sum(-1)
        signs = torch.cat(
            [shift, _SHARPENED * likeness, _SHARPENED * mention, _SHARPENED * named], -1
        )
        return torch.sigmoid(self.network(features, signs).squeeze(-1) + self.bias)
