"""How much came from memory: the share of Infini-attention, by hand; the contract is in test_encoder.py."""

import math

import pytest
import torch
from torch import Tensor

from models.attention import LayerMemory
from models.attention.infini import InfiniAttention
from models.config import AttentionOptions, MemoryRuleName
from models.encoder import Encoder, EncoderOutput
from models.memory import MEMORY_RULES, Memory, Parts
from tests.models.attention.layers import embed, layer, randomise, tokens, words
from tests.models.conftest import TINY, tiny

RULES: list[MemoryRuleName] = list(MEMORY_RULES)


def warm(encoder: Encoder) -> Memory:
    output: EncoderOutput = encoder([words(20, 5)], [encoder.empty_memory()])
    [memory] = output.memories or []
    return memory


def recall(features: Tensor, parts: Parts, head: int) -> Tensor:
    """Read one head's memory with one query: equation 7, or ridge regression where there is a Gram matrix."""
    if "gram" not in parts:
        return features @ parts["matrix"][head] / (features @ parts["normaliser"][head])
    gram = parts["gram"][head].double()
    regular = gram + 1e-2 * gram.trace() / TINY.head_width * torch.eye(TINY.head_width)
    return (features.double() @ regular.inverse() @ parts["cross"][head].double()).float()


def by_hand(attention: InfiniAttention, x: Tensor, parts: Parts) -> Tensor:
    """Equation 10 with loops: |g A_mem| / (|g A_mem| + |(1 - g) A_dot|) for every head and token."""
    query, key, value = (
        projection(x).unflatten(-1, (TINY.heads, -1))
        for projection in (attention.query, attention.key, attention.value)
    )
    share = torch.zeros(TINY.heads, len(x))
    for h in range(TINY.heads):
        gate = 1 / (1 + math.exp(-attention.beta[h].item()))
        for i in range(len(x)):
            features = torch.nn.functional.elu(query[i, h]) + 1
            remembered = recall(features, parts, h)
            scores = key[:, h] @ query[i, h] / math.sqrt(TINY.head_width)
            local = torch.softmax(scores, 0) @ value[:, h]
            recalled, own = gate * remembered.norm(), (1 - gate) * local.norm()
            share[h, i] = recalled / (recalled + own)
    return share


@pytest.mark.parametrize("rule", RULES)
def test_the_share_of_memory_is_what_the_equations_give(rule: MemoryRuleName):
    encoder = tiny("infini", AttentionOptions(memory_rule=rule, gate_logit=0.3))
    randomise(encoder, 0.1)
    memory, segment = warm(encoder), words(9, 6)
    attention = encoder.layers[0].attention
    assert isinstance(attention, InfiniAttention)
    x = embed(encoder, segment)
    expected = by_hand(attention, x, {name: part[0] for name, part in memory.parts.items()})
    found = encoder.inspect(segment, memory)[0].memory_share
    assert found is not None
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.std() > 1e-3


def test_the_share_follows_the_gate():
    shares = []
    for logit in (-3.0, 0.0, 3.0):
        encoder = tiny("infini", AttentionOptions(gate_logit=logit))
        memory = warm(encoder)
        [first, *_] = encoder.inspect(words(9, 6), memory)
        assert first.memory_share is not None
        shares.append(first.memory_share)
    assert (shares[0] < shares[1]).all()
    assert (shares[1] < shares[2]).all()


def test_a_share_is_0_for_a_shut_gate_and_1_for_one_that_lets_nothing_else_through():
    for logit, expected in ((-200.0, 0.0), (200.0, 1.0)):
        encoder = tiny("infini", AttentionOptions(gate_logit=logit))
        for inspection in encoder.inspect(words(9, 6), warm(encoder)):
            assert inspection.memory_share is not None
            assert (inspection.memory_share == expected).all()


def test_infini_inspects_nothing_without_a_memory():
    attention = layer("infini")
    with pytest.raises(ValueError, match="begin with an empty one"):
        attention.inspect(tokens(3), None)


def test_an_empty_memory_is_not_even_looked_at():
    attention = layer("infini")
    unreadable = {name: torch.full(s, math.nan) for name, s in attention.memory_parts.items()}
    nothing = LayerMemory(unreadable, empty=True)
    inspection = attention.inspect(tokens(3), nothing)
    assert inspection.memory_share is not None
    assert not inspection.memory_share.any()
    assert torch.equal(inspection.outputs, inspection.maps[0].outputs)
