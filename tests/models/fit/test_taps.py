"""What is seen of an encoder during training, and the warm-up's loss on it."""

import pytest
import torch

from models.fit.taps import tap, warm_up_loss
from models.packing import Segment
from models.variants import variants
from tests.models.attention.layers import embed, randomise, words
from tests.models.conftest import TINY, tiny
from tests.models.fit.conftest import student, teacher


def segments(count: int = 3, length: int = 6) -> list[Segment]:
    return [words(length, seed) for seed in range(count)]


@pytest.mark.parametrize("attention", variants())
def test_taps_are_what_each_sequence_gives_alone(attention: str):
    encoder, batch = tiny(attention), segments()
    found = tap(encoder, batch)
    assert [layer.shape for layer in found.layers] == [(3, 8, TINY.width)] * TINY.layers
    assert {name: x.shape for name, x in found.relations.items()} == dict.fromkeys(
        ("query", "key", "value"), (3, 8, TINY.width)
    )
    memories = [encoder.empty_memory()] if encoder.has_memory else None
    for place, segment in enumerate(batch):
        alone = encoder([segment], memories)
        torch.testing.assert_close(found.layers[-1][place], alone.tokens, atol=1e-5, rtol=1e-5)
        mean = torch.nn.functional.normalize(alone.sums[0] / 8, dim=-1)
        torch.testing.assert_close(found.sentence[place], mean, atol=1e-5, rtol=1e-5)


def test_relations_are_the_last_layers():
    encoder, batch = tiny("multi-head"), segments()
    found = tap(encoder, batch)
    last = encoder.layers[-1].attention
    before = found.layers[-2]
    for name in ("query", "key", "value"):
        torch.testing.assert_close(found.relations[name], getattr(last, name)(before))


def test_nothing_is_left_hanging_on_an_encoder_even_after_an_error():
    encoder = tiny("infini")
    tap(encoder, segments())
    with pytest.raises(IndexError):
        tap(encoder, [Segment((0, TINY.vocabulary, 1))])
    assert not any(module._forward_hooks for module in encoder.modules())


def test_warm_up_loss_is_nothing_for_the_teacher_and_its_equals():
    for equal in (teacher(), student("multi-head"), student("multi-head-weighted")):
        assert warm_up_loss(equal, teacher(), segments()).item() == pytest.approx(0.0, abs=1e-9)
    assert warm_up_loss(student("causal"), teacher(), segments()).item() > 1e-4


def test_warm_up_loss_is_each_layers_distance_on_the_teachers_input():
    ours, theirs, segment = student("bidirectional"), teacher(), words(6, 1)
    x, parts = embed(theirs, segment), []
    content = torch.tensor([False, *[True] * 6, False])
    for mine, block in zip(ours.layers, theirs.layers, strict=True):
        target = block.attention_norm(block.attention.step(x, content, None)[0] + x)
        found = mine.attention_norm(mine.attention.step(x, content, None)[0] + x)
        parts.append(((found - target) ** 2).mean() / target.var())
        x = block.finish(x, block.attention.step(x, content, None)[0])
    expected = sum(part.item() for part in parts) / len(parts)
    assert warm_up_loss(ours, theirs, [segment]).item() == pytest.approx(expected, rel=1e-4)


def test_in_the_warm_up_every_layer_learns_and_nothing_reaches_the_feed_forward_part():
    ours = student("causal")
    randomise(ours.layers[0].attention_norm, 0.1)
    warm_up_loss(ours, teacher(), segments()).backward()  # type: ignore[no-untyped-call] # torch
    for name, parameter in ours.named_parameters():
        learns = "attention" in name
        assert (parameter.grad is not None) == learns, name
    for block in ours.layers:
        gradient = block.attention.query.weight.grad
        assert gradient is not None
        assert gradient.abs().max() > 0
