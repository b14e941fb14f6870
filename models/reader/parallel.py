"""All segments of documents at once: what training needs, where the segments are known beforehand."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from models.packing import Packing
from models.reader.gates import SHIFT_DECAYS
from models.reader.reader import LEAST_FIT, NAMED_DECAY, ContextReader
from models.reader.topics import mentions


def read_documents(
    reader: ContextReader,
    x: Float[Tensor, "t d"],
    packing: Packing,
    directions: Float[Tensor, "b n d"],
    topics: Float[Tensor, "b n h d"],
    present: Bool[Tensor, "b n"],
) -> Float[Tensor, "b n d"]:
    """Return what `ContextReader.forward` would add to each unit vector, if fed segment by segment from nothing.

    Recurrences are written as sums over earlier segments, which is quadratic in segments and has no loop: before
    segment i, segment j weighs w_j a_(j+1) ... a_i.

    Args:
        reader: Its parameters.
        x: Token vectors of all segments that are present, end to end.
        packing: Where each of them lies.
        directions: Segments' own vectors, unit length, in reading order; anything where not present.
        topics: What each head picked from them.
        present: False for padding, which may only follow a document's last segment.
    """
    count = directions.shape[1]
    earlier = torch.ones(count, count, dtype=torch.bool, device=directions.device).tril(-1)
    shift = _shift(directions, earlier)
    segment = reader.take(directions, topics)
    keep, weight = reader.write_gate.logits(directions, topics, shift)
    lasting = F.logsigmoid(keep).cumsum(1).transpose(1, 2)  # (b, h, n)
    left = (lasting.unsqueeze(-1) - lasting.unsqueeze(-2)).masked_fill(~earlier, -torch.inf)
    written = (weight * present.unsqueeze(-1)).transpose(1, 2).unsqueeze(-2)
    fits = torch.einsum("bihk,bjhk->bhij", segment.query, segment.key) * written * left.exp()
    total = torch.einsum("bhij,bjhd->bihd", fits, topics)
    read = total / (fits.sum(-1).transpose(1, 2).unsqueeze(-1) + LEAST_FIT)
    mention = read.new_zeros(read.shape[:-1])
    mention[present] = mentions(x, read[present], packing)
    named = torch.einsum("ij,bjh->bih", _past(NAMED_DECAY, earlier), mention)
    added = reader.residual(directions, read, mention, named, shift)
    return added * (torch.arange(count, device=added.device) > 0).view(1, -1, 1)


def _shift(
    directions: Float[Tensor, "b n d"], earlier: Bool[Tensor, "n n"]
) -> Float[Tensor, "b n f"]:
    likeness = []
    for decay in SHIFT_DECAYS:
        recent = F.normalize(_past(decay, earlier) @ directions, dim=-1)
        likeness.append((directions * recent).sum(-1))
    place = torch.arange(len(earlier), device=earlier.device)
    first = (1 / (1 + place.float())).expand(directions.shape[:2])
    return torch.stack([*likeness, first], dim=-1)


def _past(decay: float, earlier: Bool[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Return how much each earlier segment weighs in a moving average before a segment."""
    place = torch.arange(len(earlier), device=earlier.device)
    age = (place.unsqueeze(1) - place).clamp(min=1) - 1
    return torch.where(earlier, (1 - decay) * decay ** age.float(), 0.0)
