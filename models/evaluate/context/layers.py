"""Layers that several models share, run once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.encoder import Encoder, EncoderOutput
from models.memory import Memory
from models.packing import Packing, Segment


@dataclass
class _Layers:
    """The layers of some encoders, and what they made of segments, by whether something was read before."""

    encoder: Encoder
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
    """Keeps what layers make of segments, for encoders whose layers keep nothing of what they read.

    Those are read many times, with one memory after another, of which the layers heed no more than whether something
    was read. What is kept grows with the set: 1,536 bytes a token of width 384, for each kind of layers, and twice that
    where segments are read with something before them and with nothing.
    """

    def __init__(self) -> None:
        self._of: dict[Encoder, _Layers] = {}

    @staticmethod
    def serve(encoder: Encoder) -> bool:
        """Tell whether an encoder's layers keep nothing of what they read."""
        return not encoder.layers_write

    def forward(
        self, encoder: Encoder, segments: Sequence[Segment], memories: Sequence[Memory] | None
    ) -> EncoderOutput:
        """Do what an encoder that this serves does, except to write a recall memory, which no vector depends on."""
        begun = [memory.tokens_seen > 0 for memory in memories or ()] or [False] * len(segments)
        states = self._layers(encoder).states(segments, begun)
        sums, x = torch.stack([own.sum(0) for own in states]), torch.cat(states)
        if memories is None:
            return EncoderOutput(sums, x, None)
        after = [
            Memory(memory.parts, memory.tokens_seen + segment.content_tokens)
            for memory, segment in zip(memories, segments, strict=True)
        ]
        packing = Packing(tuple(len(segment.ids) for segment in segments))
        return encoder.add_context(EncoderOutput(sums, x, after), packing, memories)

    def _layers(self, encoder: Encoder) -> _Layers:
        if encoder not in self._of:
            alike = (known for known in self._of.values() if _same(known.encoder, encoder))
            self._of[encoder] = next(alike, _Layers(encoder))
        return self._of[encoder]


def _same(one: Encoder, other: Encoder) -> bool:
    """Tell whether the layers of two encoders compute the same: they are of the same kinds, with the same weights."""
    kinds, others = ([type(block.attention) for block in of.layers] for of in (one, other))
    tensors, theirs = _tensors(one), _tensors(other)
    return (
        kinds == others
        and tensors.keys() == theirs.keys()
        and all(torch.equal(tensors[name], theirs[name]) for name in tensors)
    )


def _tensors(encoder: Encoder) -> dict[str, Tensor]:
    above = ("reader.", "recall.")
    return {n: x for n, x in encoder.state_dict().items() if not n.startswith(above)}
