"""What an encoder is built of: an attention a layer, and for some a reader."""

import pytest

from models.attention import ATTENTIONS
from models.attention.infini import InfiniAttention
from models.attention.multi_head import MultiHeadAttention
from models.config import AttentionOptions
from models.errors import WeightsError
from models.loading import build_encoder
from models.reader import ContextReader
from models.variants import variants
from tests.models.conftest import TINY, tiny


def test_every_attention_is_a_variant_that_says_what_it_is():
    found = variants()
    assert list(found) == list(ATTENTIONS)
    for name, variant in found.items():
        assert variant.has_memory == ATTENTIONS[name].has_memory
        assert len(variant.summary) > 10
        assert "\n" not in variant.summary
        assert variant.summary in str(ATTENTIONS[name].__doc__)


def test_infini_plus_alone_has_a_reader():
    for name in ATTENTIONS:
        assert isinstance(tiny(name).reader, ContextReader) == (name == "infini-plus")


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
