"""Watching an encoder's inside during a forward pass, by hooks: the encoder itself knows nothing of training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.encoder import Encoder
from models.fit.losses import Taps
from models.packing import Packing, Segment

_RELATIONS = ("query", "key", "value")


@contextmanager
def _recording(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    outputs: list[Tensor] = []
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for module in modules
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def tap(encoder: Encoder, segments: Sequence[Segment]) -> Taps:
    """Run segments of one length through an encoder and keep what the losses compare."""
    blocks = encoder.layers
    attention = blocks[-1].attention
    memories = [encoder.empty_memory() for _ in segments] if encoder.has_memory else None
    with (
        _recording([block.feed_forward_norm for block in blocks]) as layers,
        _recording([getattr(attention, name) for name in _RELATIONS]) as relations,
    ):
        encoder(segments, memories)

    def per_sequence(x: Tensor) -> Tensor:
        return x.unflatten(0, (len(segments), -1))  # type: ignore[no-any-return,no-untyped-call] # torch

    return Taps(
        [per_sequence(layer) for layer in layers],
        {name: per_sequence(x) for name, x in zip(_RELATIONS, relations, strict=True)},
    )


def warm_up_loss(student: Encoder, teacher: Encoder, segments: Sequence[Segment]) -> Tensor:
    """Return how far each layer's attention is from the teacher's when it is given the teacher's input.

    All layers learn at once, from right inputs, and nothing is propagated through the feed-forward parts. Squared
    distance after the attention's norm, in units of the teacher's variance, mean over layers.
    """
    blocks = teacher.layers
    with (
        torch.no_grad(),
        _recording([teacher.embeddings, *(block.feed_forward_norm for block in blocks)]) as inputs,
        _recording([block.attention_norm for block in blocks]) as targets,
    ):
        teacher(segments)
    packing = Packing(tuple(len(segment.ids) for segment in segments))
    parts = []
    for block, x, target in zip(student.layers, inputs[:-1], targets, strict=True):
        attended, _ = block.attention(x, packing, None)
        found = block.attention_norm(attended + x)
        parts.append((found.float() - target.float()).square().mean() / target.float().var())
    return torch.stack(parts).mean()
