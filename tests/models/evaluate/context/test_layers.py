"""Layers that are run once for several models, against each model run by itself."""

from collections.abc import Iterator
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
def layers(base: Variant) -> SharedLayers:
    return SharedLayers(base.encoder)


@pytest.fixture
def runs() -> Iterator[list[int]]:
    """Segments of every call of an encoder's layers."""
    counted: list[int] = []
    states = Encoder.states

    def count(encoder, segments, depth):
        counted.append(len(segments))
        return states(encoder, segments, depth)

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


def test_the_layers_run_once_for_the_base_and_all_memories(
    base: Variant, plus: Variant, layers: SharedLayers, runs: list[int]
):
    cut = Cut.of(plus.tokenizer, DOCUMENTS)
    empty = plus.encoder.empty_memory()
    alone = read_apart(base, cut, None, ignored, layers)
    np.testing.assert_allclose(alone, read_apart(base, cut, None, ignored), atol=2e-6)
    read_through(plus, cut, empty, PARTNERS, ignored, layers)
    read_apart(plus, cut, lambda _d, _p: empty, ignored, layers)
    segments = {segment for document in cut.documents for chunk in document for segment in chunk}
    assert sum(runs) == len(segments)


def test_layers_with_a_memory_or_of_other_weights_are_run_by_themselves(
    infini: Variant, plus: Variant, layers: SharedLayers
):
    assert layers.serve(plus.encoder)
    assert not layers.serve(infini.encoder)
    with torch.no_grad():
        plus.encoder.layers[1].attention.output.weight[0, 0] += 1
    assert not layers.serve(plus.encoder)
