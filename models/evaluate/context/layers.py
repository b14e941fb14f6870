"""Layers that several models share, run once for all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.encoder import Encoder, EncoderOutput
from models.memory import Memory
from models.packing import Segment, pack


class SharedLayers:
    """Keeps what the base's layers make of segments, for the base and for models that only add a reader above them.

    Such a model is read many times, with one memory after another, and none of them reaches its layers. What is kept
    grows with the set: 1,536 bytes a token of width 384.

    Args:
        base: An encoder without memory.
    """

    def __init__(self, base: Encoder) -> None:
        self._base = base
        self._kept: dict[Segment, Tensor] = {}

    def serve(self, encoder: Encoder) -> bool:
        """Tell whether an encoder's layers are the base's, and without memory."""
        if encoder.attention_has_memory:
            return False
        own, base = encoder.state_dict(), self._base.state_dict()
        layers = {name for name in own if not name.startswith(("reader.", "recall."))}
        return layers == base.keys() and all(torch.equal(own[name], base[name]) for name in layers)

    def forward(
        self, encoder: Encoder, segments: Sequence[Segment], memories: Sequence[Memory] | None
    ) -> EncoderOutput:
        """Do what an encoder that this serves does, except to write a recall memory, which no vector depends on."""
        missing = [segment for segment in segments if segment not in self._kept]
        if missing:
            states = self._base.states(missing, self._base.config.layers)
            self._kept.update(zip(missing, states, strict=True))
        states = [self._kept[segment] for segment in segments]
        sums = torch.stack([x.sum(0) for x in states])
        if memories is None or encoder.reader is None:
            return EncoderOutput(sums, torch.cat(states), None)
        x, (_, packing) = torch.cat(states), pack(segments)
        added, read = encoder.reader(x, sums, packing, memories)
        after = [
            Memory({**before.parts, **own}, before.tokens_seen + segment.content_tokens)
            for before, own, segment in zip(memories, read, segments, strict=True)
        ]
        return EncoderOutput(sums + added, x, after)
