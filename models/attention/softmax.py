"""Softmax attention inside a segment: the fused path and its readable twin."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.packing import Packing


def attend(
    query: Float[Tensor, "n h k"],
    key: Float[Tensor, "n h k"],
    value: Float[Tensor, "n h v"],
    packing: Packing,
) -> Float[Tensor, "n h v"]:
    """Attend in both directions within each sequence of a packed batch.

    *Equation*: softmax(Q K^T / sqrt(k)) V per head (Vaswani et al., arXiv 1706.03762, equation 1).
    **Deviation:** none. Fused by torch's scaled_dot_product_attention.
    """
    parts = [
        F.scaled_dot_product_attention(
            query[rows].transpose(0, 1).unsqueeze(0),
            key[rows].transpose(0, 1).unsqueeze(0),
            value[rows].transpose(0, 1).unsqueeze(0),
        )
        .squeeze(0)
        .transpose(0, 1)
        for rows in packing.slices
    ]
    return torch.cat(parts)


def attend_one(
    query: Float[Tensor, " k"],
    key: Float[Tensor, "t k"],
    value: Float[Tensor, "t v"],
) -> Float[Tensor, " v"]:
    """Attend for one token in one head: score, softmax, weighted sum, as three lines."""
    scores = (key @ query) / math.sqrt(query.shape[-1])
    weights = torch.exp(scores - scores.max()) / torch.exp(scores - scores.max()).sum()
    return weights @ value
