"""Token states from the middle of a frozen encoder, where a token still knows its neighbours better than its topic."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.encoder import Encoder
from models.packing import Segment, pack


def states_of(encoder: Encoder, segments: Sequence[Segment], layer: int) -> list[Tensor]:
    """Encode segments as far as a layer; the rest of the encoder is not run.

    Args:
        encoder: A variant without memory, on the base that the recall head was trained on.
        segments: At least one.
        layer: Layers to run, `RecallOptions.layer` of the head.

    Returns:
        Each segment's states, CLS and SEP included, *shape* (t, d).
    """
    ids, packing = pack(segments)
    device = encoder.embeddings.tokens.weight.device
    x = encoder.embeddings(ids.to(device), packing.positions.to(device))
    for block in encoder.layers[:layer]:
        attended, _ = block.attention(x, packing, None)
        x = block.finish(x, attended)
    return list(torch.split(x, list(packing.lengths)))
