import pytest
import torch

from models.attention import LayerMemory
from models.attention.infini import InfiniAttention
from models.attention.softmax import attend
from models.config import AttentionOptions, MemoryRuleName
from models.evaluate.context.controls import derangement, read_nothing
from models.memory import MEMORY_RULES
from models.packing import Packing, Segment
from tests.models.conftest import tiny

GATE = torch.sigmoid(torch.tensor(0.3))


@pytest.mark.parametrize("rule", sorted(MEMORY_RULES))
def test_a_memory_of_nothing_takes_the_gates_share_away_and_adds_nothing(rule: MemoryRuleName):
    encoder = tiny("infini", AttentionOptions(memory_rule=rule, gate_logit=0.3))
    attention, packing = encoder.layers[0].attention, Packing((7,))
    assert isinstance(attention, InfiniAttention)
    memory = read_nothing(encoder.empty_memory())
    x = torch.randn(7, 24, generator=torch.Generator().manual_seed(0))
    layer = LayerMemory({name: part[0] for name, part in memory.parts.items()}, empty=False)
    found, _ = attention(x, packing, [layer])
    query, key, value = attention.project(x)
    local = attend(query, key, value, packing, attention.score)
    expected = attention.output(((1 - GATE) * local).flatten(1))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_memory_of_nothing_is_no_empty_memory():
    encoder, segment = tiny("infini"), Segment((0, 7, 9, 11, 1))
    empty = encoder.empty_memory()
    written = (encoder([segment], [empty]).memories or [empty])[0]
    silent = read_nothing(written)
    assert silent.shapes == written.shapes
    assert silent.tokens_seen == 3
    assert read_nothing(empty).tokens_seen > 0
    alone, weakened, remembered = (
        encoder([segment], [memory]).sums for memory in (empty, silent, written)
    )
    assert not torch.allclose(weakened, alone, atol=1e-3)
    assert not torch.allclose(weakened, remembered, atol=1e-3)
    assert torch.equal(weakened, encoder([segment], [read_nothing(empty)]).sums)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_nobody_is_paired_with_itself(count: int):
    partners = derangement("a set", count, 5)
    assert sorted(partners) == list(range(count))
    assert all(partner != document for document, partner in enumerate(partners))
    assert partners == derangement("a set", count, 5)


def test_pairings_depend_on_seed_and_set():
    one = derangement("a set", 40, 5)
    assert one != derangement("a set", 40, 6)
    assert one != derangement("another", 40, 5)
