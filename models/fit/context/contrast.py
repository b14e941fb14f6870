"""Telling the chunks that answer a query from those of the same document and from those of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TEMPERATURE: Final = 0.05
KEPT: Final = 4096
"""Chunk vectors of earlier steps that stay as negatives, per set."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What queries choose from.

    Attributes:
        vectors: Chunk vectors of the step, unit length, *shape* (c, d).
        documents: Which of the step's documents each is of, *shape* (c,).
        gold: Which chunks answer which query, at least one each, *shape* (q, c).
        asked: Which of the step's documents each query is about, *shape* (q,).
    """

    vectors: Float[Tensor, "c d"]
    documents: Int[Tensor, " c"]
    gold: Bool[Tensor, "q c"]
    asked: Int[Tensor, " q"]


def contrast(
    queries: Float[Tensor, "q d"], candidates: Candidates, earlier: Float[Tensor, "k d"]
) -> dict[str, Tensor]:
    """Return how hard it is to tell the answers from their own document's chunks, and from all chunks.

    *Equation*: InSeNT (Conti et al., arXiv 2505.24782): in-sequence and in-batch InfoNCE. **Deviations:** of several
    answers each is told from the wrong chunks alone, mean over the answers; vectors of earlier steps are negatives too
    (the queue of MoCo, He et al., arXiv 1911.05722, here without a second encoder).

    Args:
        queries: Unit length.
        candidates: The step's chunks.
        earlier: Chunk vectors of other documents from earlier steps.
    """
    scores = queries @ candidates.vectors.T / TEMPERATURE
    wrong = scores.masked_fill(candidates.gold, -torch.inf)
    own = candidates.documents.unsqueeze(0) == candidates.asked.unsqueeze(1)
    far = queries @ earlier.T / TEMPERATURE
    sequence = _told_apart(scores, wrong.masked_fill(~own, -torch.inf), candidates.gold)
    batch = _told_apart(scores, torch.cat([wrong, far], dim=1), candidates.gold)
    return {"sequence": sequence, "batch": batch}


def _told_apart(
    scores: Float[Tensor, "q c"], wrong: Float[Tensor, "q w"], gold: Bool[Tensor, "q c"]
) -> Tensor:
    against = torch.logsumexp(wrong, dim=1, keepdim=True)
    each = torch.logaddexp(scores, against) - scores
    per_query = torch.where(gold, each, 0.0).sum(1) / gold.sum(1)
    return per_query.mean()


class Queue:
    """Chunk vectors of earlier steps, set by set, first in first out."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}

    def others(self, name: str, documents: Int[Tensor, " b"]) -> Float[Tensor, "k d"]:
        """Return what is kept of a set's other documents."""
        if name not in self._kept:
            return torch.empty(0, self._width, device=documents.device)
        vectors, owners = self._kept[name]
        return vectors[~torch.isin(owners, documents)]

    def add(self, name: str, vectors: Float[Tensor, "c d"], documents: Int[Tensor, " c"]) -> None:
        """Keep a step's vectors in the place of the oldest; those of the same documents go."""
        vectors = vectors.detach()
        if name in self._kept:
            old, owners = self._kept[name]
            stays = ~torch.isin(owners, documents)
            vectors = torch.cat([old[stays], vectors])
            documents = torch.cat([owners[stays], documents])
        self._kept[name] = (vectors[-KEPT:], documents[-KEPT:])

    def state_dict(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what is kept."""
        return dict(self._kept)

    def load_state_dict(self, state: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Go on from what was kept."""
        self._kept = dict(state)
