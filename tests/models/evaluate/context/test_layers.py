"""Layers that are run once for several models, against each model run by itself."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

from models.encoder import Encoder
from models.evaluate import Variant
from models.evaluate.context.cuts import Cut
from models.evaluate.context.layers import SharedLayers
from models.evaluate.context.reading import read_apart, read_through
from models.tokenizer import Tokenizer
from tests.models.evaluate.conftest import small
from tests.models.evaluate.context.conftest import DOCUMENTS

PARTNERS = [1, 3, 0, 2]


@pytest.fixture
def plus(base: Variant, tokenizer: Tokenizer) -> Variant:
    """A model that only adds a reader to the base, one that says something."""
    variant = small("infini-plus", tokenizer)
    variant.encoder.load_state_dict(base.encoder.state_dict(), strict=False)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in variant.encoder.named_parameters():
            if name.startswith("reader."):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return variant


@pytest.fixture
def layers() -> SharedLayers:
    return SharedLayers()


@pytest.fixture
def runs() -> Iterator[list[int]]:
    """Segments of every call of an encoder's layers."""
    counted: list[int] = []
    states = Encoder.states

    def count(encoder, segments, depth, *, begun=False):
        counted.append(len(segments))
        return states(encoder, segments, depth, begun=begun)

    with patch.object(Encoder, "states", count):
        yield counted


def ignored(_tokens: int) -> None:
    """Nobody looks on."""


def test_a_reader_above_shared_layers_reads_as_it_does_above_its_own(
    plus: Variant, layers: SharedLayers, runs: list[int]
):
    cut = Cut.of(plus.tokenizer, DOCUMENTS)
    empty = plus.encoder.empty_memory()
    expected = read_through(plus, cut, empty, PARTNERS, ignored)
    assert not runs  # without shared layers an encoder runs its own
    found = read_through(plus, cut, empty, PARTNERS, ignored, layers)
    np.testing.assert_allclose(found.own, expected.own, atol=2e-6)
    assert runs
    assert found.other is not None
    assert expected.other is not None
    np.testing.assert_allclose(found.other, expected.other, atol=2e-6)
    assert np.abs(found.own - read_apart(plus, cut, lambda _d, _p: empty, ignored)).max() > 1e-3
    for end, other in zip(found.ends, expected.ends, strict=True):
        assert end.tokens_seen == other.tokens_seen
        for name, part in end.parts.items():
            torch.testing.assert_close(part, other.parts[name])


def test_the_layers_run_once_for_all_memories_and_all_readers(
    base: Variant, plus: Variant, layers: SharedLayers, runs: list[int]
):
    cut = Cut.of(plus.tokenizer, DOCUMENTS)
    empty = plus.encoder.empty_memory()
    begun = replace(empty, tokens_seen=1)
    other = replace(plus, encoder=deepcopy(plus.encoder))
    with torch.no_grad():
        other.encoder.reader.scale += 1  # type: ignore[union-attr]
    segments = {segment for document in cut.documents for chunk in document for segment in chunk}
    alone = read_apart(base, cut, None, ignored, layers)
    np.testing.assert_allclose(alone, read_apart(base, cut, None, ignored), atol=2e-6)
    for model in (plus, other):
        read_through(model, cut, empty, PARTNERS, ignored, layers)
        for memory in (empty, begun):
            found = read_apart(model, cut, lambda _d, _p, memory=memory: memory, ignored, layers)  # type: ignore[misc]
            expected = read_apart(model, cut, lambda _d, _p, memory=memory: memory, ignored)  # type: ignore[misc]
            np.testing.assert_allclose(found, expected, atol=2e-6)
    # The base's layers once, and those of both models once fresh and once behind something.
    assert sum(runs) == 3 * len(segments)


def test_tokens_and_memories_are_those_of_the_encoder(
    plus: Variant, layers: SharedLayers, tokenizer: Tokenizer
):
    encoder = plus.encoder
    first, *others = [found[0] for found in tokenizer.segments(["bees sleep", "lava", "a lamp"])]
    [begun] = encoder([first], [encoder.empty_memory()]).memories or []
    memories = [begun, encoder.empty_memory()]
    for reader in (encoder.reader, None):
        encoder.reader = reader
        expected, found = encoder(others, memories), layers.forward(encoder, others, memories)
        torch.testing.assert_close(found.sums, expected.sums)
        torch.testing.assert_close(found.tokens, expected.tokens)
        assert [memory.tokens_seen for memory in found.memories or ()] == [14, 6]
        for one, other in zip(found.memories or (), expected.memories or (), strict=True):
            assert one.tokens_seen == other.tokens_seen
            torch.testing.assert_close(one.parts, other.parts)


def test_the_same_weights_in_another_attention_are_other_layers(
    tokenizer: Tokenizer, base: Variant, layers: SharedLayers
):
    cut = Cut.of(tokenizer, DOCUMENTS)
    causal = small("causal", tokenizer)
    causal.encoder.load_state_dict(base.encoder.state_dict())
    for model in (base, causal):
        expected = read_apart(model, cut, None, ignored)
        found = read_apart(model, cut, None, ignored, layers)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_layers_that_write_a_memory_are_run_by_themselves(infini: Variant, plus: Variant):
    assert SharedLayers.serve(plus.encoder)
    assert not SharedLayers.serve(infini.encoder)


def test_other_weights_are_other_layers(plus: Variant, layers: SharedLayers):
    cut = Cut.of(plus.tokenizer, DOCUMENTS)
    empty = plus.encoder.empty_memory()
    before = read_apart(plus, cut, lambda _d, _p: empty, ignored, layers)
    other = replace(plus, encoder=deepcopy(plus.encoder))
    with torch.no_grad():
        other.encoder.layers[1].attention.output.weight *= 2
    after = read_apart(other, cut, lambda _d, _p: empty, ignored, layers)
    assert np.abs(after - before).max() > 1e-3
