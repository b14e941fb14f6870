"""The contract every attention variant keeps, over the registry: nothing here names a variant."""

import pytest
import torch
from torch import Tensor

from models.attention import LayerMemory
from models.config import AttentionOptions
from models.encoder import Encoder, EncoderOutput
from models.memory import MEMORY_RULES, Memory, MemoryRule
from models.packing import Segment, pack
from models.variants import variants
from tests.models.attention.layers import embed, randomise
from tests.models.conftest import TINY, tiny
from tests.models.recall.heads import attach_head

VARIANTS = [
    (name, rule)
    for name in variants()
    for rule in (MEMORY_RULES if tiny(name).layers_write else ["linear"])
]


@pytest.fixture(params=VARIANTS, ids="-".join)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Build a variant away from where it begins: a gate of zeros hides what it is applied to."""
    name, rule = request.param
    encoder = tiny(name, AttentionOptions(memory_rule=rule, gate_logit=0.3))
    if variants()[name].recalls:
        attach_head(encoder)
    randomise(encoder, 0.05)
    return encoder


def segment(length: int, seed: int) -> Segment:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, TINY.vocabulary, (length,), generator=generator).tolist()
    return Segment((0, *ids, 1))


def rule_of(encoder: Encoder) -> MemoryRule:
    """Return the rule of an attention with memory."""
    rule = getattr(encoder.layers[0].attention, "rule")  # noqa: B009 - those with memory have one
    assert isinstance(rule, MemoryRule)
    return rule


def fresh(encoder: Encoder, count: int) -> list[Memory] | None:
    return [encoder.empty_memory() for _ in range(count)] if encoder.has_memory else None


def read_document(encoder: Encoder, segments: list[Segment]) -> list[EncoderOutput]:
    """Fold `forward` over a document."""
    memories, outputs = fresh(encoder, 1), []
    for item in segments:
        outputs.append(encoder([item], memories))
        memories = outputs[-1].memories
    return outputs


def assert_same(one: EncoderOutput, other: EncoderOutput, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(one.sums, other.sums, atol=tolerance, rtol=1e-5)
    assert (one.memories is None) == (other.memories is None)
    for a, b in zip(one.memories or [], other.memories or [], strict=True):
        assert a.tokens_seen == b.tokens_seen
        assert a.shapes == b.shapes
        for name, part in a.parts.items():
            torch.testing.assert_close(part, b.parts[name], atol=tolerance, rtol=1e-4)


@pytest.mark.parametrize("length", [0, 1, 63, 100])
def test_forward_is_the_fold_of_step(encoder: Encoder, length: int):
    document = [segment(length, seed) for seed in range(3)]
    memory = encoder.empty_memory() if encoder.has_memory else None
    for item, fast in zip(document, read_document(encoder, document), strict=True):
        slow = encoder.step(item, memory)
        assert_same(fast, slow)
        memory = slow.memories[0] if slow.memories else None


def test_gradients_of_forward_and_step_agree(encoder: Encoder):
    document = [segment(length, length) for length in (5, 9)]

    def gradients(outputs: list[EncoderOutput]) -> dict[str, Tensor]:
        encoder.zero_grad()
        torch.cat([output.sums for output in outputs]).square().sum().backward()  # type: ignore[no-untyped-call]
        return {n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None}

    fast = gradients(read_document(encoder, document))
    memory, outputs = (encoder.empty_memory() if encoder.has_memory else None), []
    for item in document:
        outputs.append(encoder.step(item, memory))
        memory = outputs[-1].memories[0] if outputs[-1].memories else None
    slow = gradients(outputs)
    assert fast.keys() == slow.keys()
    assert len(fast) > 10
    for name, gradient in fast.items():
        # Some memories are read steeply: what cancels in an element is as large as the largest.
        tolerance = max(2e-3, 2e-5 * slow[name].abs().max().item())
        torch.testing.assert_close(gradient, slow[name], atol=tolerance, rtol=1e-3, msg=name)


def test_inspect_says_how_forward_came_to_its_result(encoder: Encoder):
    memory = encoder.empty_memory() if encoder.has_memory else None
    for item, warm in ((segment(0, 4), False), (segment(20, 5), False), (segment(31, 6), True)):
        inspections = encoder.inspect(item, memory)
        assert len(inspections) == TINY.layers
        x = embed(encoder, item)
        for block, found in zip(encoder.layers, inspections, strict=True):
            assert found.outputs.shape[1] == len(item.ids)
            assert found.outputs.shape[0] * found.outputs.shape[2] == TINY.width
            assert len(found.maps) > 0
            for shown in found.maps:
                torch.testing.assert_close(
                    shown.weights.sum(-1), torch.ones(shown.weights.shape[:2])
                )
                torch.testing.assert_close(shown.weights, torch.softmax(shown.scores, -1))
            share = found.memory_share
            assert (share is not None) == encoder.attention_has_memory
            if share is not None:
                assert share.shape == found.outputs.shape[:2]
                recalls = warm and encoder.layers_write
                assert ((share > 0) & (share < 1)).all() if recalls else (share == 0).all()
            attended = block.attention.output(found.outputs.transpose(0, 1).flatten(1))
            x = block.finish(x, attended)
        output = encoder([item], memory and [memory])
        stepped = encoder.step(item, memory).tokens
        torch.testing.assert_close(stepped, output.tokens, atol=1e-4, rtol=1e-4)
        read = output.tokens - x  # what a reader adds, it adds to every token alike
        expected = read[:1].expand_as(read) if encoder.reader and warm else torch.zeros_like(read)
        torch.testing.assert_close(read, expected, atol=1e-4, rtol=1e-4)
        memory = output.memories[0] if output.memories else None


def test_a_batch_changes_nothing_for_its_members(encoder: Encoder):
    segments = [segment(length, length) for length in (1, 63, 0, 100)]
    warm = read_document(encoder, [segment(40, 9)])[0].memories
    memories = [*warm, *fresh(encoder, 3)] if warm else None  # type: ignore[misc]
    together = encoder(segments, memories)
    order = [2, 0, 3, 1]
    permuted = encoder([segments[i] for i in order], memories and [memories[i] for i in order])
    for place, i in enumerate(order):
        alone = encoder([segments[i]], memories and [memories[i]])
        torch.testing.assert_close(together.sums[i], alone.sums[0], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(permuted.sums[place], alone.sums[0], atol=1e-4, rtol=1e-5)
        if alone.memories and permuted.memories:
            one, other = alone.memories[0], permuted.memories[place]
            for name, part in one.parts.items():
                torch.testing.assert_close(part, other.parts[name], atol=1e-4, rtol=1e-5)


def test_forward_changes_neither_its_input_nor_the_module(encoder: Encoder):
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    memories = read_document(encoder, [segment(30, 1)])[0].memories
    kept = [
        {name: part.clone() for name, part in memory.parts.items()} for memory in memories or []
    ]
    encoder([segment(30, 2)], memories)
    for memory, parts in zip(memories or [], kept, strict=True):
        assert memory.parts.keys() == parts.keys()
        assert all(torch.equal(memory.parts[name], part) for name, part in parts.items())
    assert all(torch.equal(before[name], now) for name, now in encoder.state_dict().items())


def test_a_memory_never_grows_and_a_past_changes_what_follows(encoder: Encoder):
    if not encoder.has_memory:
        assert encoder([segment(10, 1)]).memories is None
        return
    outputs = read_document(encoder, [segment(100, seed) for seed in range(4)])
    sizes = {memory.nbytes for output in outputs for memory in output.memories or []}
    assert sizes == {encoder.empty_memory().nbytes}
    alone = encoder([segment(100, 3)], fresh(encoder, 1))
    assert (outputs[3].sums - alone.sums).abs().max() > 1e-2


def test_parts_of_another_owner_are_handed_on(encoder: Encoder):
    if not encoder.has_memory:
        return
    [own] = fresh(encoder, 1) or []
    topic = torch.randn(2, 5)
    memory = Memory({**own.parts, "topic.state": topic}, 0)
    for output in (encoder([segment(9, 1)], [memory]), encoder.step(segment(9, 1), memory)):
        [after] = output.memories or []
        assert after.parts["topic.state"] is topic
        assert after.shapes == memory.shapes
    assert encoder.inspect(segment(9, 1), memory)


def test_memories_are_float32_also_where_the_rest_is_computed_in_half(encoder: Encoder):
    if not encoder.has_memory:
        return
    nothing = encoder.empty_memory()
    with torch.autocast("cpu", torch.bfloat16):
        [memory] = encoder([segment(7, 1)], [nothing]).memories or []
    assert {part.dtype for part in memory.parts.values()} == {torch.float32}
    if not encoder.layers_write:
        return
    attention, x = encoder.layers[0].attention, torch.randn(9, TINY.width)
    parts = {name: part[0] for name, part in nothing.parts.items()}
    packing = pack([segment(7, 1)])[1]
    with torch.autocast("cpu", torch.bfloat16):
        key, value = (
            projection(x).unflatten(-1, (TINY.heads, -1))[1:-1].float()
            for projection in (attention.key, attention.value)
        )
        [after] = attention(x, packing, [LayerMemory(parts, empty=True)])[1] or []
    expected = rule_of(encoder).write(key, value, parts, empty=True)
    for name, part in expected.items():
        assert torch.equal(after.parts[name], part)


def test_cls_and_sep_are_never_written(encoder: Encoder):
    """Whatever stands at the ends of a segment, the first layer's memory holds its content alone."""
    if not encoder.layers_write:
        return
    words = segment(7, 1)
    nothing = encoder.empty_memory()
    [memory] = encoder([words], [nothing]).memories or []
    ids, packing = pack([words])
    assert packing.content.tolist() == [False, *[True] * 7, False]
    x = encoder.embeddings(ids, packing.positions)
    attention = encoder.layers[0].attention
    key, value = (
        projection(x).unflatten(-1, (TINY.heads, -1))[1:-1]
        for projection in (attention.key, attention.value)
    )
    before = {name: part[0] for name, part in nothing.parts.items()}
    expected = rule_of(encoder).write(key, value, before, empty=True)
    for name, part in expected.items():
        torch.testing.assert_close(memory.parts[name][0], part)
