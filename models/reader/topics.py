"""Attention pooling: what of a segment is worth remembering."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from models.packing import Packing


def mentions(
    x: Float[Tensor, "n d"], read: Float[Tensor, "b h d"], packing: Packing
) -> Float[Tensor, "b h"]:
    """Return how near each segment's nearest token is to what each head read: the largest cosine over its tokens.

    A segment that names what it is about hardly needs to be told. CLS and SEP are left out; 0 for a segment of these
    alone.
    """
    found, first = [], 0
    for rows, count in packing.runs:
        tokens = F.normalize(x[rows].float().view(count, -1, x.shape[-1])[:, 1:-1], dim=-1)
        fits = tokens @ F.normalize(read[first : first + count], dim=-1).mT
        found.append(fits.amax(1) if tokens.shape[1] else read.new_zeros(fits.shape[::2]))
        first += count
    return torch.cat(found)


def pool_topics(
    x: Float[Tensor, "n d"], scores: Float[Tensor, "n h"], packing: Packing
) -> tuple[Float[Tensor, "b h d"], Bool[Tensor, " b"]]:
    """Return each head's weighted sum of each segment's tokens, unit length, and which segments have any.

    *Equation*: source2token self-attention (Shen et al., arXiv 1709.04696), one weight per token and head.
    **Deviation:** CLS and SEP are left out; a segment of these alone has no topics, and zeros are returned.

    Args:
        x: Token vectors of all segments, end to end.
        scores: How much each head wants each token, before the softmax over the segment.
        packing: Where each segment lies.
    """
    topics = []
    for rows, count in packing.runs:
        tokens = x[rows].float().view(count, -1, x.shape[-1])[:, 1:-1]
        weights = torch.softmax(scores[rows].view(count, -1, scores.shape[-1])[:, 1:-1], dim=1)
        topics.append(F.normalize(weights.mT @ tokens, dim=-1))
    written = torch.tensor([length > 2 for length in packing.lengths], device=x.device)  # noqa: PLR2004 - CLS, SEP
    return torch.cat(topics), written


def pool_topics_stepwise(
    tokens: Float[Tensor, "t d"], scores: Float[Tensor, "t h"]
) -> Float[Tensor, "h d"]:
    """Do what `pool_topics` does for one segment's tokens without CLS and SEP, token by token."""
    topics = []
    for of_head in scores.T:
        mixed = tokens.new_zeros(tokens.shape[1])
        for share, token in zip(torch.softmax(of_head, 0), tokens, strict=True):
            mixed = mixed + share * token
        topics.append(F.normalize(mixed, dim=-1))
    return torch.stack(topics)


def mentions_stepwise(
    tokens: Float[Tensor, "t d"], read: Float[Tensor, "h d"]
) -> Float[Tensor, " h"]:
    """Do what `mentions` does for one segment's tokens without CLS and SEP, token by token."""
    nearest = [
        max((F.cosine_similarity(token, one, dim=0) for token in tokens), default=one.new_zeros(()))
        for one in read
    ]
    return torch.stack(nearest)
