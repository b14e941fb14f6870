"""Gates that see a token, and a memory that lets go: by hand, apart from the contract in test_encoder.py."""

import math

import pytest
import torch
from torch import Tensor

from models.attention import LayerMemory
from models.attention.gated_infini import GatedInfiniAttention
from models.attention.infini import InfiniAttention
from models.packing import Packing
from tests.models.attention.layers import attended, layer, randomise, same_projections, tokens
from tests.models.conftest import TINY


@pytest.fixture
def gated() -> GatedInfiniAttention:
    """Return a layer whose gates and shares differ between heads and tokens."""
    attention = layer("infini-plus")
    assert isinstance(attention, GatedInfiniAttention)
    randomise(attention, 0.2)
    return attention


def _nothing(attention: InfiniAttention) -> LayerMemory:
    parts = {name: torch.zeros(shape) for name, shape in attention.memory_parts.items()}
    return LayerMemory(parts, empty=True)


def _read(attention: InfiniAttention, x: Tensor, memory: LayerMemory) -> tuple[Tensor, LayerMemory]:
    found, after = attention(x, Packing((len(x),)), [memory])
    assert after is not None
    return found, after[0]


def test_the_gate_is_beta_and_what_the_token_adds(gated: GatedInfiniAttention):
    x = tokens(5)
    found = gated.gates(x)
    for n in range(5):
        for h in range(TINY.heads):
            logit = gated.beta[h].item() + (gated.gate.weight[h] @ x[n]).item()
            assert found[n, h].item() == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert found.std(0).min() > 1e-2
    assert found.std(1).min() > 1e-3


def test_the_output_is_mixed_token_by_token(gated: GatedInfiniAttention):
    """An open gate gives what is remembered, a shut one what is local, a middling one is in between."""
    _, memory = _read(gated, tokens(7), _nothing(gated))
    x, mixed = tokens(6, 1), []
    gates = gated.gates(x)
    for logit in (-300.0, 300.0):
        same = layer("infini-plus")
        same.load_state_dict(gated.state_dict())  # type: ignore[attr-defined] # a module
        same.gate.weight.data.zero_()  # type: ignore[attr-defined]
        same.beta.data.fill_(logit)  # type: ignore[attr-defined]
        mixed.append(same.inspect(x, memory).outputs)
    local, remembered = mixed
    gate = gates.T.unsqueeze(-1)
    expected = gate * remembered + (1 - gate) * local
    torch.testing.assert_close(gated.inspect(x, memory).outputs, expected, atol=1e-5, rtol=1e-5)
    found, _ = _read(gated, x, memory)
    projected = gated.output(expected.transpose(0, 1).flatten(1))
    torch.testing.assert_close(found, projected, atol=1e-5, rtol=1e-5)


def test_forgetting_scales_what_was_there_and_not_what_is_written(gated: GatedInfiniAttention):
    _, memory = _read(gated, tokens(7), _nothing(gated))
    x = tokens(6, 1)
    _, after = _read(gated, x, memory)
    _, fresh = _read(gated, x, _nothing(gated))
    content = x[1:-1]
    shares = []
    for h in range(TINY.heads):
        mean = sum((gated.keep.weight[h] @ token).item() for token in content) / len(content)
        shares.append(1 / (1 + math.exp(-mean - gated.keep.bias[h].item())))
    assert max(shares) - min(shares) > 1e-3
    assert all(0.5 < share < 1 for share in shares)
    for name, part in after.parts.items():
        for h, share in enumerate(shares):
            expected = share * memory.parts[name][h] + fresh.parts[name][h]
            torch.testing.assert_close(part[h], expected, atol=1e-4, rtol=1e-4)


def test_a_segment_is_read_before_anything_is_forgotten(gated: GatedInfiniAttention):
    """A read-out is a ratio: the share shows in the segments after, and then only beside what was written."""
    _, memory = _read(gated, tokens(7), _nothing(gated))
    found, _ = _read(gated, tokens(6, 1), memory)
    torch.nn.init.constant_(gated.keep.bias, -20.0)
    forgetful, after = _read(gated, tokens(6, 1), memory)
    assert torch.equal(found, forgetful)
    _, fresh = _read(gated, tokens(6, 1), _nothing(gated))
    for name, part in after.parts.items():
        torch.testing.assert_close(part, fresh.parts[name], atol=1e-5, rtol=1e-5)


def test_a_segment_of_cls_and_sep_forgets_nothing(gated: GatedInfiniAttention):
    _, memory = _read(gated, tokens(7), _nothing(gated))
    _, after = _read(gated, tokens(2, 1), memory)
    assert all(torch.equal(part, memory.parts[name]) for name, part in after.parts.items())
    content = torch.tensor([False, False])
    assert gated.step(tokens(2, 1), content, memory)[1] is memory


def test_a_first_segment_is_multi_head_bit_for_bit(gated: GatedInfiniAttention):
    plain, x = same_projections("multi-head", gated), tokens(9)
    found, _ = _read(gated, x, _nothing(gated))
    assert torch.equal(found, attended(plain, x))


def test_it_begins_as_infini_that_keeps_nearly_all():
    attention = layer("infini-plus")
    infini = layer("infini")
    assert isinstance(attention, GatedInfiniAttention)
    assert isinstance(infini, InfiniAttention)
    infini.load_state_dict(attention.state_dict(), strict=False)
    x = tokens(6)
    assert torch.equal(attention.gates(x), infini.gates(x))
    _, memory = _read(attention, x, _nothing(attention))
    kept = attention.forget(x, memory).parts
    for name, part in memory.parts.items():
        torch.testing.assert_close(kept[name], part / (1 + math.exp(-4.0)))
