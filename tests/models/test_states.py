"""States from the middle of an encoder are those on the way to its end."""

import torch

from models.encoder import Encoder
from models.packing import Segment
from tests.models.conftest import tiny

SEGMENTS = [Segment((0, 7, 8, 9, 1)), Segment((0, 5, 1)), Segment((0, 9, 9, 1))]


def outputs_of(encoder: Encoder, layer: int) -> torch.Tensor:
    found = []
    block = encoder.layers[layer - 1]
    handle = block.feed_forward_norm.register_forward_hook(lambda _m, _i, out: found.append(out))
    encoder(SEGMENTS)
    handle.remove()
    return torch.cat(found)


def test_they_are_what_the_layer_gives_on_the_way():
    encoder = tiny("multi-head")
    with torch.inference_mode():
        for layer in (1, 2):
            states = encoder.states(SEGMENTS, layer)
            assert [len(x) for x in states] == [5, 3, 4]
            assert torch.equal(torch.cat(states), outputs_of(encoder, layer))
        whole = torch.cat(encoder.states(SEGMENTS, encoder.config.layers))
        assert torch.equal(whole, encoder(SEGMENTS).tokens)


def test_layers_after_it_are_not_run():
    encoder = tiny("multi-head")
    before = encoder.states(SEGMENTS, 1)
    with torch.no_grad():
        encoder.layers[1].up.weight.fill_(float("nan"))
    for x, y in zip(before, encoder.states(SEGMENTS, 1), strict=True):
        assert torch.equal(x, y)
