"""Softmax attention inside a segment: its three readable steps, and the fused path that computes the same."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from models.attention.scoring import Score
from models.packing import Packing

Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """What each of the three steps gave, for one sequence and one direction.

    Attributes:
        direction: Which tokens a token may look at: all, itself and those before it, itself and those after it.
        scores: Fit of query i and key j, -inf where j may not be seen; *shape* (h, t, t).
        weights: Softmax of the scores over j; every row sums to 1; *shape* (h, t, t).
        outputs: Values summed by the weights; *shape* (h, t, v).
    """

    direction: Direction
    scores: Tensor
    weights: Tensor
    outputs: Tensor


def visible(
    tokens: int, direction: Direction, device: torch.device | None = None
) -> Bool[Tensor, "t t"]:
    """Say which token (column) each token (row) may look at; always itself."""
    everything = torch.ones(tokens, tokens, dtype=torch.bool, device=device)
    if direction == "forward":
        return everything.tril()
    return everything.triu() if direction == "backward" else everything


def select(
    scores: Float[Tensor, "*b t s"], seen: Bool[Tensor, "t s"]
) -> tuple[Float[Tensor, "*b t s"], Float[Tensor, "*b t s"]]:
    """Select softly: hide what may not be seen, then exponentiate and normalise over the keys.

    Returns:
        The masked scores and the weights.
    """
    masked = scores.masked_fill(~seen, float("-inf"))
    exponentials = torch.exp(masked - masked.amax(-1, keepdim=True))
    return masked, exponentials / exponentials.sum(-1, keepdim=True)


def attend_in_steps(
    query: Float[Tensor, "t h k"],
    key: Float[Tensor, "t h k"],
    value: Float[Tensor, "t h v"],
    score: Score,
    direction: Direction,
) -> AttentionMap:
    """Attend within one sequence and keep what every step gave: the slow twin of `attend`."""
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))  # heads first
    scores, weights = select(score(query, key), visible(query.shape[-2], direction, query.device))
    return AttentionMap(direction, scores, weights, weights @ value)


def attend(
    query: Float[Tensor, "n h k"],
    key: Float[Tensor, "n h k"],
    value: Float[Tensor, "n h v"],
    packing: Packing,
    score: Score,
    direction: Direction = "both",
) -> Float[Tensor, "n h v"]:
    """Attend within each sequence of a packed batch, fused by torch where the score is an inner product.

    Neighbours of equal length go through the kernel together.

    *Equation*: softmax(score(Q, K)) V per head (Vaswani et al., arXiv 1706.03762, equation 1, for the scaled dot
    product). **Deviation:** none.
    """
    parts = []
    for rows, count in packing.runs:
        # (b, h, t, ·): views, nothing is copied
        q, k, v = (
            x[rows].view(count, -1, *x.shape[1:]).transpose(1, 2) for x in (query, key, value)
        )
        kernel = _fused if score.fused else _unfused
        parts.append(kernel(q, k, v, score, direction).transpose(1, 2).flatten(0, 1))
    return parts[0] if len(parts) == 1 else torch.cat(parts)  # of one, it would be a copy


def _fused(
    query: Float[Tensor, "b h t k"],
    key: Float[Tensor, "b h t k"],
    value: Float[Tensor, "b h t v"],
    score: Score,
    direction: Direction,
) -> Float[Tensor, "b h t v"]:
    query, key, scale = score.as_dot_product(query, key)
    if direction == "backward":
        # Read from right to left, looking at the past is looking at the future; the kernel then skips half the work.
        query, key, value = query.flip(-2), key.flip(-2), value.flip(-2)
    attended = F.scaled_dot_product_attention(
        query, key, value, is_causal=direction != "both", scale=scale
    )
    return attended.flip(-2) if direction == "backward" else attended


def _unfused(
    query: Float[Tensor, "b h t k"],
    key: Float[Tensor, "b h t k"],
    value: Float[Tensor, "b h t v"],
    score: Score,
    direction: Direction,
) -> Float[Tensor, "b h t v"]:
    _, weights = select(score(query, key), visible(query.shape[-2], direction, query.device))
    return weights @ value
