"""Equations 7 to 9, by hand."""

import pytest
import torch

from models.memory import MEMORY_RULES, Memory, read
from models.memory.features import positive_features


def tokens(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 2, 4, generator=generator),
        torch.randn(count, 2, 4, generator=generator),
    )


def empty() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(2, 4, 4), torch.zeros(2, 4)


def test_features_are_elu_plus_one():
    x = torch.tensor([-2.0, 0.0, 3.0])
    expected = torch.tensor([torch.e**-2.0, 1.0, 4.0])
    torch.testing.assert_close(positive_features(x), expected)


def test_features_stay_positive_where_elu_plus_one_rounds_to_zero():
    x = torch.tensor([-16.0, -18.0, -60.0])
    torch.testing.assert_close(positive_features(x), torch.exp(x), rtol=1e-6, atol=0)
    assert (torch.nn.functional.elu(x) + 1)[1] == 0


@pytest.mark.parametrize("rule", MEMORY_RULES)
def test_a_single_binding_is_read_back_exactly(rule):
    key, value = tokens(1, 0)
    matrix, normaliser = MEMORY_RULES[rule].write(key, value, *empty(), empty=True)
    torch.testing.assert_close(read(key, matrix, normaliser), value)


def test_linear_memory_reads_the_weighted_mean_of_its_values():
    key, value = tokens(7, 1)
    matrix, normaliser = MEMORY_RULES["linear"].write(key, value, *empty(), empty=True)
    query, _ = tokens(1, 2)
    head = 1
    similarity = positive_features(key[:, head]) @ positive_features(query[0, head])
    expected = (similarity / similarity.sum()) @ value[:, head]
    torch.testing.assert_close(read(query, matrix, normaliser)[0, head], expected)


def test_linear_memory_does_not_care_how_a_text_was_cut():
    key, value = tokens(9, 3)
    rule = MEMORY_RULES["linear"]
    whole = rule.write(key, value, *empty(), empty=True)
    first = rule.write(key[:4], value[:4], *empty(), empty=True)
    second = rule.write(key[4:], value[4:], *first, empty=False)
    for one, other in zip(whole, second, strict=True):
        torch.testing.assert_close(one, other)


def test_delta_writes_nothing_new_for_a_known_binding_but_its_normaliser_grows():
    key, value = tokens(1, 4)
    rule = MEMORY_RULES["delta"]
    matrix, normaliser = rule.write(key, value, *empty(), empty=True)
    again, grown = rule.write(key, value, matrix, normaliser, empty=False)
    torch.testing.assert_close(again, matrix)
    torch.testing.assert_close(grown, 2 * normaliser)


def test_an_empty_memory_knows_that_it_is():
    memory = Memory.empty(layers=6, heads=12, key_width=32, value_width=32)
    assert memory.tokens_seen == 0
    assert memory.nbytes == 304_128
