"""What sets each memory rule apart, by hand; what they have in common is in test_contract.py."""

import pytest
import torch
from torch import Tensor

from models.config import MemoryRuleName
from models.memory import MEMORY_RULES, Parts
from models.memory.corrected_delta import CorrectedDeltaRule
from models.memory.delta import DeltaRule
from models.memory.features import positive_features
from models.memory.linear import LinearRule
from models.memory.ridge import STRENGTH, RidgeRule

HEADS, WIDTH = 2, 4


def tokens(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, HEADS, WIDTH, generator=generator),
        torch.randn(count, HEADS, WIDTH, generator=generator),
    )


def empty(rule: MemoryRuleName) -> Parts:
    shapes = MEMORY_RULES[rule].parts(HEADS, WIDTH, WIDTH)
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_features_are_elu_plus_one():
    x = torch.tensor([-2.0, 0.0, 3.0])
    expected = torch.tensor([torch.e**-2.0, 1.0, 4.0])
    torch.testing.assert_close(positive_features(x), expected)


def test_features_stay_positive_where_elu_plus_one_rounds_to_zero():
    x = torch.tensor([-16.0, -18.0, -60.0])
    torch.testing.assert_close(positive_features(x), torch.exp(x), rtol=1e-6, atol=0)
    assert (torch.nn.functional.elu(x) + 1)[1] == 0


@pytest.mark.parametrize("rule", ["linear", "delta", "delta-corrected", "ridge"])
def test_a_memory_that_was_wiped_reads_zero(rule: MemoryRuleName):
    parts = {**empty(rule)}
    if "normaliser" in parts:
        parts["normaliser"] = torch.ones_like(parts["normaliser"])
    read = MEMORY_RULES[rule].read(tokens(3, 0)[0], parts)
    assert torch.equal(read, torch.zeros(3, HEADS, WIDTH))


# Equation 8.


def test_linear_memory_reads_the_weighted_mean_of_its_values():
    key, value = tokens(7, 1)
    rule = LinearRule()
    parts = rule.write(key, value, empty("linear"), empty=True)
    query, _ = tokens(1, 2)
    head = 1
    similarity = positive_features(key[:, head]) @ positive_features(query[0, head])
    expected = (similarity / similarity.sum()) @ value[:, head]
    torch.testing.assert_close(rule.read(query, parts)[0, head], expected)


@pytest.mark.parametrize("rule", ["linear", "delta-corrected", "ridge"])
def test_how_a_text_was_cut_does_not_matter(rule: MemoryRuleName):
    key, value = tokens(9, 3)
    write = MEMORY_RULES[rule].write
    whole = write(key, value, empty(rule), empty=True)
    first = write(key[:4], value[:4], empty(rule), empty=True)
    second = write(key[4:], value[4:], first, empty=False)
    for name, part in whole.items():
        torch.testing.assert_close(part, second[name])


# Equation 9.


def test_delta_reads_the_memory_before_the_segment():
    rule, (key, value) = DeltaRule(), tokens(5, 3)
    before = rule.write(key, value, empty("delta"), empty=True)
    key, value = tokens(4, 4)
    found = rule.write(key, value, before, empty=False)
    for h in range(HEADS):
        matrix, z = before["matrix"][h], before["normaliser"][h]
        expected, grown = matrix.clone(), z.clone()
        for i in range(4):
            sigma = torch.nn.functional.elu(key[i, h]) + 1
            expected += torch.outer(sigma, value[i, h] - sigma @ matrix / (sigma @ z))
            grown += sigma
        torch.testing.assert_close(found["matrix"][h], expected)
        torch.testing.assert_close(found["normaliser"][h], grown)


def test_delta_writes_nothing_new_for_a_known_binding_but_its_normaliser_grows():
    rule, (key, value) = DeltaRule(), tokens(1, 4)
    once = rule.write(key, value, empty("delta"), empty=True)
    again = rule.write(key, value, once, empty=False)
    torch.testing.assert_close(again["matrix"], once["matrix"])
    torch.testing.assert_close(again["normaliser"], 2 * once["normaliser"])


# The delta rule with ARMT's normaliser.


def test_a_repeated_binding_is_read_as_it_was_written_where_the_paper_halves_it():
    key, value = tokens(1, 4)
    reads = {}
    for name in ("delta", "delta-corrected"):
        rule, parts = MEMORY_RULES[name], empty(name)
        for i in range(8):
            parts = rule.write(key, value, parts, empty=i == 0)
        reads[name] = rule.read(key, parts)
    torch.testing.assert_close(reads["delta-corrected"], value)
    assert (reads["delta"] / value).max() < 0.6


def test_the_corrected_normaliser_takes_in_what_it_lacks():
    rule = CorrectedDeltaRule()
    key = torch.tensor([[1.0, -3, -3, -3], [-3, -3, 1, 2]]).unsqueeze(1).expand(2, HEADS, WIDTH)
    value = tokens(2, 5)[1]
    first = rule.write(key[:1], value[:1], empty("delta-corrected"), empty=True)
    sigma, new = positive_features(key)
    torch.testing.assert_close(first["normaliser"], sigma)
    second = rule.write(key[1:], value[1:], first, empty=False)
    gamma = 1 - (sigma * new).sum(-1, keepdim=True) / new.square().sum(-1, keepdim=True)
    assert (gamma > 0.9).all()
    torch.testing.assert_close(second["normaliser"], sigma + gamma * new)
    torch.testing.assert_close(rule.read(key[1:], second), value[1:])
    # What it knows already leaves it as it is.
    third = rule.write(key[:1], value[:1], second, empty=False)
    torch.testing.assert_close(third["normaliser"], second["normaliser"])


@pytest.mark.parametrize("first", [1, 10, 60])
def test_corrected_delta_does_not_diverge_on_segments_longer_than_the_first(first: int):
    """Whole segments read against this normaliser would make M some times as large with each of them."""
    rule, (key, value) = CorrectedDeltaRule(), tokens(100, 6)
    key = 1 + 0.3 * key
    parts = rule.write(key[:first], value[:first], empty("delta-corrected"), empty=True)
    for _ in range(200):
        parts = rule.write(key, value, parts, empty=False)
    assert parts["matrix"].abs().max() < 100
    assert rule.read(key, parts).abs().max() < 10


# Ridge regression.


def test_ridge_is_least_squares_with_a_penalty():
    rule, (key, value) = RidgeRule(), tokens(7, 7)
    parts = rule.write(key, value, empty("ridge"), empty=True)
    query, _ = tokens(3, 8)
    read = rule.read(query, parts)
    for h in range(HEADS):
        phi = positive_features(key[:, h]).double()
        penalty = STRENGTH * phi.square().sum() / WIDTH
        # The same map as least squares over the bindings and one more for each axis, whose value is zero.
        rows = torch.cat([phi, penalty.sqrt() * torch.eye(WIDTH, dtype=torch.double)])
        wanted = torch.cat([value[:, h].double(), torch.zeros(WIDTH, WIDTH)])
        best = torch.linalg.lstsq(rows, wanted).solution
        expected = (positive_features(query[:, h]).double() @ best).float()
        torch.testing.assert_close(read[:, h], expected)


def test_ridge_tells_keys_apart_that_resemble_each_other():
    generator = torch.Generator().manual_seed(9)
    key = 1 + 0.2 * torch.randn(4, HEADS, WIDTH, generator=generator)
    value = torch.eye(4, WIDTH).unsqueeze(1).expand(4, HEADS, WIDTH)
    found = {}
    for name in ("linear", "ridge"):
        rule = MEMORY_RULES[name]
        read = rule.read(key, rule.write(key, value, empty(name), empty=True))
        found[name] = read.diagonal(dim1=0, dim2=2).mean()
    assert found["ridge"] > found["linear"] + 0.2
    assert found["linear"] < 0.35


@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_the_read_out_of_ridge_has_no_scale(factor: float):
    rule, (key, value) = RidgeRule(), tokens(7, 7)
    parts = rule.write(key, value, empty("ridge"), empty=True)
    scaled = {name: factor * part for name, part in parts.items()}
    torch.testing.assert_close(rule.read(key, scaled), rule.read(key, parts))
