"""Layers that several models share, run once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.encoder import Encoder, EncoderOutput
from models.memory import Memory
from models.packing import Segment, pack


@dataclass
class _Layers:
    """The layers of some encoders, and what they made of segments, by whether something was read before."""

    encoder: Encoder
    parameters: dict[str, Tensor]
    kept: dict[tuple[Segment, bool], Tensor] = field(default_factory=dict)

    def states(self, segments: Sequence[Segment], begun: Sequence[bool]) -> list[Tensor]:
        places = list(zip(segments, begun, strict=True))
        for which in (False, True):
            missing = [
                s for s, is_begun in places if is_begun is which and (s, which) not in self.kept
            ]
            if missing:
                depth = self.encoder.config.layers
                found = self.encoder.states(missing, depth, begun=which)
                self.kept.update(((s, which), x) for s, x in zip(missing, found, strict=True))
        return [self.kept[place] for place in places]


class SharedLayers:
    """Keeps what layers make of segments, for encoders without memory and those that only have it above their layers.

    Those are read many times, with one memory after another, and none of them reaches the layers. What is kept grows
    with the set: 1,536 bytes a token of width 384, for each kind of layers.
    """

    def __init__(self) -> None:
        self._known: list[_Layers] = []

    @staticmethod
    def serve(encoder: Encoder) -> bool:
        """Tell whether an encoder's layers keep nothing of what they read."""
        return not encoder.layers_write

    def forward(
        self, encoder: Encoder, segments: Sequence[Segment], memories: Sequence[Memory] | None
    ) -> EncoderOutput:
        """Do what an encoder that this serves does, except to write a recall memory, which no vector depends on."""
        begun = [memory.tokens_seen > 0 for memory in memories or ()] or [False] * len(segments)
        states = self._of(encoder).states(segments, begun)
        sums = torch.stack([x.sum(0) for x in states])
        x, (_, packing) = torch.cat(states), pack(segments)
        if memories is None or encoder.reader is None:
            return EncoderOutput(sums, x, None)
        added, read = encoder.reader(x, sums, packing, memories)
        after = [
            Memory({**before.parts, **own}, before.tokens_seen + segment.content_tokens)
            for before, own, segment in zip(memories, read, segments, strict=True)
        ]
        return EncoderOutput(sums + added, x, after)

    def _of(self, encoder: Encoder) -> _Layers:
        above = ("reader.", "recall.")
        own = {
            name: tensor
            for name, tensor in encoder.state_dict().items()
            if not name.startswith(above)
        }
        for known in self._known:
            if known.encoder is encoder or _equal(known.parameters, own):
                return known
        self._known.append(_Layers(encoder, own))
        return self._known[-1]


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
