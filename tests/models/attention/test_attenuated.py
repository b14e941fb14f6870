"""Attenuated attention is Infini-attention whose memory says nothing."""

from dataclasses import replace

import pytest
import torch

from models.attention.attenuated import AttenuatedAttention
from models.attention.base import LayerMemory
from models.attention.infini import InfiniAttention
from models.config import AttentionOptions
from models.evaluate.context.controls import read_nothing
from models.memory import Memory
from models.packing import Packing
from tests.models.attention.layers import randomise, words
from tests.models.conftest import TINY, tiny

LENGTHS = (5, 9, 3)
BEGUN = (True, False, True)


@pytest.fixture
def attention() -> AttenuatedAttention:
    torch.manual_seed(4)
    found = AttenuatedAttention(TINY, AttentionOptions(gate_logit=0.3)).eval()
    randomise(found, 0.3)
    return found


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(5)
    return torch.randn(sum(LENGTHS), TINY.width)


def _memories() -> list[LayerMemory]:
    return [LayerMemory({}, empty=not begun) for begun in BEGUN]


def test_it_is_infini_attention_whose_read_out_is_zero(
    attention: AttenuatedAttention, x: torch.Tensor
):
    infini = InfiniAttention(TINY, AttentionOptions())
    infini.load_state_dict(attention.state_dict())
    silent = read_nothing(Memory.empty(infini.memory_parts))
    before = [LayerMemory(silent.parts, empty=not begun) for begun in BEGUN]
    expected, _ = infini(x, Packing(LENGTHS), before)
    found, after = attention(x, Packing(LENGTHS), _memories())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert after is None


def test_forward_step_and_inspection_agree_values_and_gradients(
    attention: AttenuatedAttention, x: torch.Tensor
):
    fast, _ = attention(x, Packing(LENGTHS), _memories())
    slow = []
    for part, memory in zip(torch.split(x, list(LENGTHS)), _memories(), strict=True):
        content = torch.ones(len(part), dtype=torch.bool)
        found, _ = attention.step(part, content, memory)
        slow.append(found)
        seen = attention.inspect(part, memory)
        shown = attention.output(seen.outputs.transpose(0, 1).flatten(1))
        torch.testing.assert_close(shown, found, atol=1e-5, rtol=1e-5)
        assert seen.memory_share is not None
        assert not seen.memory_share.any()
    twin = torch.cat(slow)
    torch.testing.assert_close(fast, twin, atol=1e-5, rtol=1e-5)
    [one] = torch.autograd.grad(fast.square().sum(), attention.beta)
    [other] = torch.autograd.grad(twin.square().sum(), attention.beta)
    assert one.abs().min() > 0
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_nothing_read_is_nothing_attenuated(attention: AttenuatedAttention, x: torch.Tensor):
    plain, _ = attention(x, Packing(LENGTHS), None)
    empty = [replace(memory, empty=True) for memory in _memories()]
    assert torch.equal(attention(x, Packing(LENGTHS), empty)[0], plain)
    some, _ = attention(x, Packing(LENGTHS), _memories())
    rows = Packing(LENGTHS).slices
    torch.testing.assert_close(some[rows[1]], plain[rows[1]], atol=1e-6, rtol=1e-6)
    assert (some[rows[0]] - plain[rows[0]]).abs().max() > 1e-2


def test_states_behind_a_beginning_are_those_of_a_session():
    encoder = tiny("infini-plus", AttentionOptions(gate_logit=0.3, memory_from=1))
    assert not encoder.layers_write
    assert tiny("infini").layers_write
    encoder.reader = None
    segment = words(9, 1)
    begun = replace(encoder.empty_memory(), tokens_seen=3)
    [found] = encoder.states([segment], 2, begun=True)
    torch.testing.assert_close(found, encoder([segment], [begun]).tokens)
    [fresh] = encoder.states([segment], 2)
    torch.testing.assert_close(fresh, encoder([segment], [encoder.empty_memory()]).tokens)
    assert (found - fresh).abs().max() > 1e-3
