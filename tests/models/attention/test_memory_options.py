"""Where layers begin to remember, and what the memory's side adds to their projections."""

import pytest
import torch
from torch import Tensor

from models.attention.infini import InfiniAttention
from models.config import AttentionOptions
from models.encoder import Encoder, EncoderOutput
from models.memory import Memory
from models.packing import Segment
from tests.models.attention.layers import randomise, words
from tests.models.conftest import TINY, tiny

DOCUMENT = (words(9, 1), words(0, 2), words(12, 3))


def _moved(**options: int) -> Encoder:
    encoder = tiny("infini", AttentionOptions(gate_logit=0.3, **options))  # type: ignore[arg-type] # counts
    randomise(encoder, 0.1)
    return encoder


def _like(name: str, encoder: Encoder, **options: int) -> Encoder:
    """Return another variant on the same parameters, as far as it has them."""
    other = tiny(name, AttentionOptions(gate_logit=0.3, **options))  # type: ignore[arg-type] # counts
    kept = other.state_dict().keys()
    state = {key: value for key, value in encoder.state_dict().items() if key in kept}
    other.load_state_dict(state, strict=False)
    return other


def _read(encoder: Encoder, *segments: Segment) -> EncoderOutput:
    memory: Memory = encoder.empty_memory()
    for segment in segments:
        output: EncoderOutput = encoder([segment], [memory])
        [memory] = output.memories or []
    return output


def test_only_layers_that_remember_have_a_memory():
    encoder = _moved(memory_from=1)
    assert [block.attention.has_memory for block in encoder.layers] == [False, True]
    assert not encoder.layers[0].attention.memory_parts
    whole = _moved().empty_memory().shapes
    later = encoder.empty_memory().shapes
    assert later == {part: (1, *shape[1:]) for part, shape in whole.items()}
    own = {key for key in encoder.state_dict() if "attention.beta" in key}
    assert own == {"blocks.1.attention.beta"}


@pytest.mark.parametrize("rank", [0, 2])
def test_forward_is_step(rank: int):
    encoder = _moved(memory_from=1, memory_rank=rank)
    memory = encoder.empty_memory()
    for segment in DOCUMENT:
        fast, slow = encoder([segment], [memory]), encoder.step(segment, memory)
        torch.testing.assert_close(fast.tokens, slow.tokens, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(fast.sums, slow.sums, atol=1e-4, rtol=1e-4)
        [memory], [twin] = fast.memories, slow.memories or []
        assert memory.shapes == twin.shapes
        for part, value in memory.parts.items():
            torch.testing.assert_close(value, twin.parts[part], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rank", [0, 2])
def test_an_empty_memory_is_exactly_multi_head(rank: int):
    encoder = _moved(memory_from=1, memory_rank=rank)
    plain = _like("multi-head", encoder)
    found, expected = _read(encoder, DOCUMENT[0]), plain([DOCUMENT[0]])
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.sums, expected.sums)
    warm = _read(encoder, DOCUMENT[2], DOCUMENT[0])
    assert (warm.tokens - expected.tokens).abs().max() > 1e-2


def test_layers_without_a_memory_show_a_share_of_zero():
    encoder = _moved(memory_from=1, memory_rank=2)
    [memory] = _read(encoder, DOCUMENT[2]).memories or []
    for warm, past in ((False, encoder.empty_memory()), (True, memory)):
        below, above = encoder.inspect(DOCUMENT[0], past)
        assert below.memory_share is not None
        assert above.memory_share is not None
        assert below.memory_share.shape == above.memory_share.shape == (TINY.heads, 11)
        assert not below.memory_share.any()
        assert bool((above.memory_share > 0).all()) == warm


def _gradients(encoder: Encoder, *segments: Segment) -> dict[str, Tensor]:
    encoder.zero_grad()
    _read(encoder, *segments).sums.square().sum().backward()  # type: ignore[no-untyped-call] # torch
    return {
        name: parameter.grad
        for name, parameter in encoder.named_parameters()
        if "memory_side" in name and parameter.grad is not None and parameter.grad.any()
    }


def test_a_memory_side_begins_as_the_shared_projections_and_can_leave_them():
    encoder = tiny("infini", AttentionOptions(gate_logit=0.3, memory_rank=2))
    shared = _like("infini", encoder)
    one, other = _read(encoder, *DOCUMENT), _read(shared, *DOCUMENT)
    torch.testing.assert_close(one.sums, other.sums, atol=1e-5, rtol=1e-5)

    reached = _gradients(encoder, *DOCUMENT)
    sides = ("query", "key", "value")
    ups = {f"blocks.{i}.attention.memory_side.{s}.up.weight" for i in range(2) for s in sides}
    assert reached.keys() == ups  # from 0, up moves first

    randomise(encoder, 0.1)
    assert len(_gradients(encoder, *DOCUMENT)) == 2 * len(ups)
    apart = _like("infini", encoder)
    difference = _read(encoder, *DOCUMENT).sums - _read(apart, *DOCUMENT).sums
    assert difference.abs().max() > 1e-3


def test_the_memory_side_is_a_sum_and_local_attention_does_not_see_it():
    attention = _moved(memory_rank=2).layers[0].attention
    assert isinstance(attention, InfiniAttention)
    x = torch.randn(5, TINY.width)
    local = attention.project(x)
    remembered = attention._project_for_memory(x, *local)
    for side, own, found in zip(("query", "key", "value"), local, remembered, strict=True):
        low_rank = attention.memory_side[side]
        down, up = (low_rank.get_parameter(f"{kind}.weight") for kind in ("down", "up"))
        added = (up @ (down @ x.T)).T
        torch.testing.assert_close(found.flatten(1), own.flatten(1) + added, atol=1e-5, rtol=1e-5)
        assert torch.linalg.matrix_rank(up @ down) == 2
