"""What sets each variant apart, and what it has in common with the one it comes from."""

import math

import pytest
import torch
from torch import Tensor

from models.attention.bidirectional import BidirectionalAttention
from models.attention.scoring import SCORES
from models.attention.weighted_heads import WeightedMultiHeadAttention
from models.config import AttentionOptions, ScoreName
from models.encoder import Encoder, EncoderOutput
from models.memory import Memory
from models.packing import Segment
from models.variants import variants
from tests.models.attention.layers import (
    attended,
    embed,
    layer,
    randomise,
    same_projections,
    tokens,
    words,
)
from tests.models.conftest import TINY, tiny


def token_vectors(encoder: Encoder, segment: Segment) -> Tensor:
    memories = [encoder.empty_memory()] if encoder.has_memory else None
    with torch.inference_mode():
        output: EncoderOutput = encoder([segment], memories)
    return output.tokens


# Any score function under any variant.


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("name", variants())
def test_forward_is_step_under_every_score_away_from_the_start(name: str, score: ScoreName):
    encoder = tiny(name, AttentionOptions(score=score, gate_logit=0.3))
    randomise(encoder, 0.1)
    memory: Memory | None = encoder.empty_memory() if encoder.has_memory else None
    for length in (5, 0, 8):
        segment = words(length, length)
        fast, slow = encoder([segment], memory and [memory]), encoder.step(segment, memory)
        torch.testing.assert_close(fast.tokens, slow.tokens, atol=1e-4, rtol=1e-4)
        for one, other in zip(fast.memories or [], slow.memories or [], strict=True):
            for part, twin in zip(one.parts.values(), other.parts.values(), strict=True):
                torch.testing.assert_close(part, twin, atol=1e-4, rtol=1e-4)
        memory = fast.memories[0] if fast.memories else None


@pytest.mark.parametrize("name", variants())
def test_the_score_function_matters(name: str):
    segment = words(9, 1)
    found = [token_vectors(tiny(name, AttentionOptions(score=score)), segment) for score in SCORES]
    bilinear, dot = list(SCORES).index("bilinear"), list(SCORES).index("dot")
    for i in range(len(found)):
        for j in range(i):
            difference = (found[i] - found[j]).abs().max()
            # An untrained bilinear score is the scaled dot product.
            assert (difference < 1e-4) if {i, j} == {bilinear, dot} else (difference > 1e-3)


# Directions.

LOOKS_AHEAD = {
    "self-attention": True,
    "causal": False,
    "bidirectional": True,
    "multi-head": True,
    "multi-head-weighted": True,
    "infini": True,
    "infini-plus": True,
}


@pytest.mark.parametrize("name", LOOKS_AHEAD)
@pytest.mark.parametrize("place", [1, 5, 9])
def test_a_later_token_changes_an_earlier_one_only_where_the_variant_looks_ahead(name, place):
    encoder = tiny(name)
    before = words(10, 3)
    ids = list(before.ids)
    ids[place] = 2 + (ids[place] - 1) % (TINY.vocabulary - 2)
    assert ids[place] != before.ids[place]
    one, other = token_vectors(encoder, before), token_vectors(encoder, Segment(tuple(ids)))
    differences = (one - other).abs().amax(-1)
    assert (differences[place:] > 1e-5).all()
    if LOOKS_AHEAD[name]:
        assert (differences[:place] > 1e-5).all()
    else:
        assert torch.equal(one[:place], other[:place])


@pytest.mark.parametrize("name", [name for name, looks in LOOKS_AHEAD.items() if not looks])
def test_a_causal_vector_is_that_of_the_text_so_far(name: str):
    encoder = tiny(name)
    whole = words(10, 3)
    for stop in range(2, len(whole.ids)):
        part = token_vectors(encoder, Segment(whole.ids[:stop]))
        torch.testing.assert_close(part, token_vectors(encoder, whole)[:stop], atol=1e-5, rtol=1e-5)


# Bidirectional attention.


def bidirectional(bias: float = 0.0) -> BidirectionalAttention:
    attention = layer("bidirectional")
    assert isinstance(attention, BidirectionalAttention)
    torch.nn.init.constant_(attention.gate_bias, bias)
    return attention


def passes_alone(attention: BidirectionalAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the forward and the backward pass, by a causal layer of the same projections."""
    causal = same_projections("causal", attention)
    return attended(causal, x), attended(causal, x.flip(0)).flip(0)


@pytest.mark.parametrize("length", [1, 2, 17])
def test_a_closed_or_open_gate_leaves_one_direction_alone(length: int):
    x = tokens(length)
    for bias, place in ((60.0, 0), (-60.0, 1)):
        attention = bidirectional(bias)
        expected = passes_alone(attention, x)[place]
        torch.testing.assert_close(attended(attention, x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 17])
def test_bidirectional_begins_at_the_average_of_both_directions(length: int):
    attention, x = bidirectional(), tokens(length)
    forward, backward = passes_alone(attention, x)
    expected = (forward + backward) / 2
    torch.testing.assert_close(attended(attention, x), expected, atol=1e-5, rtol=1e-5)
    if length > 1:
        assert (forward - backward).abs().max() > 1e-2


def test_the_gate_is_the_formula_feature_by_feature():
    attention = bidirectional()
    randomise(attention)
    width = TINY.head_width
    forward, backward = torch.randn(2, TINY.heads, width), torch.randn(2, TINY.heads, width)
    found = attention.fuse([forward, backward])
    for n in range(2):
        for h in range(TINY.heads):
            w_forward, w_backward = torch.split(attention.gate_weight[h], width)
            for j in range(width):
                logit = attention.gate_bias[h, j].item()
                for i in range(width):
                    logit += forward[n, h, i].item() * w_forward[i, j].item()
                    logit += backward[n, h, i].item() * w_backward[i, j].item()
                gate = 1 / (1 + math.exp(-logit))
                expected = gate * forward[n, h, j] + (1 - gate) * backward[n, h, j]
                torch.testing.assert_close(found[n, h, j], expected, atol=1e-5, rtol=1e-5)


def test_the_ends_of_a_text_see_only_themselves_in_one_direction():
    attention, x = bidirectional(), tokens(6)
    value = attention.value(x).unflatten(-1, (TINY.heads, -1))
    forward, backward = attention.inspect(x, None).maps
    assert (forward.direction, backward.direction) == ("forward", "backward")
    for found, end in ((forward, 0), (backward, 5)):
        alone = torch.zeros(TINY.heads, 6)
        alone[:, end] = 1
        assert torch.equal(found.weights[:, end], alone)
        torch.testing.assert_close(found.outputs[:, end], value[end])


# Weighted heads.


def weighted() -> WeightedMultiHeadAttention:
    attention = layer("multi-head-weighted")
    assert isinstance(attention, WeightedMultiHeadAttention)
    return attention


def test_weighted_heads_begin_bit_for_bit_as_multi_head():
    attention, x = weighted(), tokens(20)
    plain = same_projections("multi-head", attention)
    assert torch.equal(attention.weights(), torch.ones(TINY.heads))
    assert torch.equal(attended(attention, x), attended(plain, x))
    one, other = tiny("multi-head-weighted"), tiny("multi-head")
    one.load_state_dict(other.state_dict(), strict=False)
    assert torch.equal(token_vectors(one, words(30, 1)), token_vectors(other, words(30, 1)))
    with torch.no_grad():
        attention.head_logits[0] += 0.5
    assert (attended(attention, x) - attended(plain, x)).abs().max() > 1e-2


@pytest.mark.parametrize("logits", [[0.3, -1.0, 2.0], [300.0, 0.0, -300.0], [-1e4, -1e4, -1e4]])
def test_head_weights_are_a_softmax_that_sums_to_the_number_of_heads(logits: list[float]):
    attention = weighted()
    with torch.no_grad():
        attention.head_logits.copy_(torch.tensor(logits))
    found = attention.weights()
    torch.testing.assert_close(found, TINY.heads * torch.softmax(torch.tensor(logits), 0))
    torch.testing.assert_close(found.sum(), torch.tensor(float(TINY.heads)))
    assert (found >= 0).all()


def test_weighted_heads_are_the_sum_over_heads_each_through_its_own_block():
    attention, x = weighted(), tokens(7)
    randomise(attention)
    [found] = attention.inspect(x, None).maps
    blocks = torch.split(attention.output.weight, TINY.head_width, dim=1)
    summed = torch.stack(
        [
            kappa * head @ block.T
            for kappa, head, block in zip(attention.weights(), found.outputs, blocks, strict=True)
        ]
    ).sum(0)
    expected = summed + attention.output.bias
    torch.testing.assert_close(attended(attention, x), expected, atol=1e-5, rtol=1e-5)


# One head or several.


def test_self_attention_has_one_head_over_the_whole_width():
    attention, x = layer("self-attention"), tokens(7)
    inspection = attention.inspect(x, None)
    [found] = inspection.maps
    assert found.weights.shape == (1, 7, 7)
    assert found.outputs.shape == inspection.outputs.shape == (1, 7, TINY.width)
    scores = attention.query(x) @ attention.key(x).T / math.sqrt(TINY.width)
    expected = torch.softmax(scores, -1) @ attention.value(x)
    torch.testing.assert_close(found.outputs[0], expected, atol=1e-5, rtol=1e-5)
    output = attention.output(expected)
    torch.testing.assert_close(attended(attention, x), output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in variants() if name != "self-attention"])
def test_the_other_variants_have_the_heads_of_the_base(name: str):
    encoder = tiny(name)
    memory = encoder.empty_memory() if encoder.has_memory else None
    for inspection in encoder.inspect(words(5, 1), memory):
        assert inspection.outputs.shape == (TINY.heads, 7, TINY.head_width)
        assert {found.weights.shape for found in inspection.maps} == {(TINY.heads, 7, 7)}


def test_self_attention_is_not_multi_head_on_the_same_projections():
    encoder, other = tiny("self-attention"), tiny("multi-head")
    other.load_state_dict(encoder.state_dict())
    segment = words(12, 2)
    assert torch.equal(embed(encoder, segment), embed(other, segment))
    difference = token_vectors(encoder, segment) - token_vectors(other, segment)
    assert difference.abs().max() > 1e-3
