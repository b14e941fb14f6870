"""What an encoder is built of: an attention a layer, and for some a reader."""

import pytest
import torch

from models.attention import ATTENTIONS
from models.attention.attenuated import AttenuatedAttention
from models.attention.infini import InfiniAttention
from models.attention.multi_head import MultiHeadAttention
from models.config import AttentionOptions
from models.errors import WeightsError
from models.loading import build_encoder
from models.reader import ContextReader
from models.variants import variants
from tests.models.attention.layers import randomise, words
from tests.models.conftest import TINY, tiny


def test_every_attention_is_a_variant_and_all_say_what_they_are():
    found = variants()
    assert list(found) == [*ATTENTIONS, "infini-plus"]
    for name, attention in ATTENTIONS.items():
        assert found[name].attention is attention
        assert found[name].attention_has_memory == attention.has_memory
        assert found[name].summary in str(attention.__doc__)
    layers, reader = AttenuatedAttention.__doc__, ContextReader.__doc__
    assert found["infini-plus"].summary == " ".join(
        str(part).splitlines()[0] for part in (layers, reader)
    )
    for variant in found.values():
        assert len(variant.summary) > 10
        assert "\n" not in variant.summary
    assert len({variant.summary for variant in found.values()}) == len(found)


def test_infini_plus_alone_has_a_reader_and_may_have_a_recall_head():
    for name, variant in variants().items():
        assert isinstance(tiny(name).reader, ContextReader) == (name == "infini-plus")
        assert variant.recalls == (name == "infini-plus")
        assert tiny(name).has_memory == (name in {"infini", "infini-plus"})


@pytest.mark.parametrize("first", [0, 1])
def test_under_its_reader_infini_plus_is_multi_head_until_something_was_read(first: int):
    options = AttentionOptions(memory_rule="delta", memory_from=first, memory_rank=4)
    encoder, plain = tiny("infini-plus", options), tiny("multi-head")
    randomise(encoder, 0.1)
    state = encoder.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    added = {name for name in state.keys() - plain.state_dict().keys() if "reader" not in name}
    assert added == {f"blocks.{layer}.attention.beta" for layer in range(first, 2)}
    memory = encoder.empty_memory()
    assert {name.split(".")[0] for name in memory.parts} == {"reader"}
    fresh, expected = encoder([words(9, 1)], [memory]), plain([words(9, 1)])
    assert torch.equal(fresh.tokens, expected.tokens)
    assert torch.equal(fresh.sums, expected.sums)
    assert torch.equal(encoder([words(9, 1)]).sums, expected.sums)  # no memory, nothing read
    warm = encoder([words(9, 1)], encoder([words(12, 2)], [memory]).memories)
    assert (warm.sums - expected.sums).abs().max() > 1e-2


@pytest.mark.parametrize("name", ATTENTIONS)
def test_layers_below_the_first_with_a_memory_are_plain_multi_head(name: str):
    options = AttentionOptions(memory_from=1)
    for layer in range(2):
        attention = variants()[name].attend(TINY, options, layer)
        plain = ATTENTIONS[name].has_memory and layer < 1
        assert type(attention) is (MultiHeadAttention if plain else ATTENTIONS[name])
        assert isinstance(attention, InfiniAttention) == attention.has_memory


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (AttentionOptions(memory_from=2), "memory_from is 2; infini has layers 0 to 1"),
        (AttentionOptions(memory_from=-1), "memory_from is -1; infini has layers 0 to 1"),
        (AttentionOptions(memory_rank=-1), r"memory_rank is -1, not in \[0, 24\]"),
        (AttentionOptions(memory_rank=25), r"memory_rank is 25, not in \[0, 24\]"),
    ],
)
def test_options_that_the_shapes_do_not_allow_are_refused(options, complaint):
    with pytest.raises(WeightsError, match=complaint):
        build_encoder("infini", TINY, options)


def test_a_variant_without_memory_does_not_mind_where_one_would_begin():
    assert not build_encoder("causal", TINY, AttentionOptions(memory_from=9)).has_memory
