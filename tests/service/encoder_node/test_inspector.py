"""Attention of every variant, on the real checkpoint."""

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from models.variants import variants
from service.encoder_node import EncoderNode, inspector
from service.errors import BadRequest, Unavailable, Unprocessable
from service.ports import AttentionCommand
from tests.service.encoder_node.conftest import StartNode
from tests.texts import SENTENCES

TEXT = "The bank of the river."
ALL = AttentionCommand(TEXT, stages=frozenset({"scores", "weights", "outputs"}))
DIRECTIONS = {"causal": ["forward"], "bidirectional": ["forward", "backward"]}


@pytest.mark.parametrize("attention", sorted(variants()))
async def test_the_three_steps_of_every_variant(start_node: StartNode, attention: str):
    async with start_node(attention) as node:
        result = await node.inspect(ALL)
    heads, width = (1, 384) if attention == "self-attention" else (12, 32)
    assert result.tokens.pieces == ("[CLS]", "the", "bank", "of", "the", "river", ".", "[SEP]")
    assert result.tokens.offsets[:3] == (None, (0, 3), (4, 8))
    assert result.read_tokens == 8
    assert result.heads == tuple(range(heads))
    assert [layer.layer for layer in result.layers] == list(range(6))
    hidden = {"forward": np.triu(np.ones((8, 8)), 1), "backward": np.tril(np.ones((8, 8)), -1)}
    for layer in result.layers:
        names = [one.direction for one in layer.directions]
        assert names == DIRECTIONS.get(attention, ["both"])
        assert (layer.memory_share is not None) == variants()[attention].attention_has_memory
        for one in layer.directions:
            assert one.scores is not None
            assert one.weights is not None
            assert one.outputs is not None
            assert one.scores.shape == one.weights.shape == (heads, 8, 8)
            assert one.outputs.shape == (heads, 8, width)
            np.testing.assert_allclose(one.weights.sum(-1), 1, atol=1e-5)
            unseen = hidden.get(one.direction, np.zeros((8, 8))).astype(bool)
            np.testing.assert_array_equal(
                np.isneginf(one.scores), np.broadcast_to(unseen, (heads, 8, 8))
            )
            exponentials = np.exp(one.scores)
            np.testing.assert_allclose(
                exponentials / exponentials.sum(-1, keepdims=True), one.weights, atol=1e-5
            )


async def test_what_is_remembered_is_shown_and_nothing_without_a_context(start_node: StartNode):
    async with start_node("infini") as infini, start_node("multi-head") as base:
        fresh = await infini.inspect(ALL)
        plain = await base.inspect(ALL)
        context = " ".join(SENTENCES)
        told = await infini.inspect(AttentionCommand(TEXT, context, stages=ALL.stages))
        [tokens] = (await infini.tokenize([context])).texts
    assert fresh.memory_share is not None
    assert not fresh.memory_share.any()
    assert plain.memory_share is None
    for one, other in zip(fresh.layers, plain.layers, strict=True):
        np.testing.assert_array_equal(one.outputs, other.outputs)
    assert told.memory_share is not None
    shares = np.stack([layer.memory_share for layer in told.layers])  # type: ignore[misc] # it is there
    assert shares.shape == (6, 12, 8)
    assert ((shares > 0) & (shares < 1)).all()
    np.testing.assert_allclose(told.memory_share, shares.mean((0, 1)), atol=1e-6)
    segments = -(-len(tokens.ids) // 254)
    assert told.read_tokens == 8 + len(tokens.ids) + 2 * segments


async def test_attention_that_is_weakened_by_a_context_takes_nothing_from_it(
    start_node: StartNode,
):
    async with start_node("infini-plus") as node:
        alone = await node.inspect(ALL)
        within = await node.inspect(replace(ALL, context="Read before."))
    assert alone.memory_share is not None
    assert within.memory_share is not None
    assert not np.any(alone.memory_share)
    assert not np.any(within.memory_share)
    first, same = alone.layers[0], within.layers[0]
    np.testing.assert_array_equal(first.directions[0].weights, same.directions[0].weights)
    assert first.outputs is not None
    assert same.outputs is not None
    gate = 1 / (1 + np.exp(2.0))  # untrained: beta is -2 for every head
    np.testing.assert_allclose(same.outputs, (1 - gate) * first.outputs, atol=1e-5)


async def test_a_choice_is_a_part_of_the_whole(start_node: StartNode):
    async with start_node("infini") as node:
        whole = await node.inspect(AttentionCommand(TEXT, "Read before."))
        part = await node.inspect(
            AttentionCommand(TEXT, "Read before.", layers=(4, 1, 4), heads=(11, 0))
        )
    assert part.heads == (0, 11)
    assert [layer.layer for layer in part.layers] == [1, 4]
    for layer in part.layers:
        one, other = layer.directions[0], whole.layers[layer.layer].directions[0]
        assert one.weights is not None
        assert other.weights is not None
        np.testing.assert_array_equal(one.weights, other.weights[[0, 11]])
        assert one.scores is one.outputs is layer.outputs is None
        assert layer.memory_share is not None
        assert layer.memory_share.shape == (2, 8)
    np.testing.assert_array_equal(part.memory_share, whole.memory_share)


@pytest.mark.parametrize(
    ("command", "code", "param", "said"),
    [
        (AttentionCommand(TEXT, layers=(0, 6)), "validation_error", "layers", "layers 0 to 5"),
        (AttentionCommand(TEXT, heads=(12,)), "validation_error", "heads", "heads 0 to 11"),
        (AttentionCommand(TEXT, "before"), "model_has_no_memory", "context", "no memory"),
        (AttentionCommand("a " * 11), "input_too_long", "input", "13 tokens .* at most 12"),
        (AttentionCommand("a " * 10), "answer_too_large", None, "at most 10000 are sent"),
    ],
)
async def test_what_cannot_be_shown_is_refused(
    start_node: StartNode, command: AttentionCommand, code: str, param: str | None, said: str
):
    async with start_node("multi-head", attention_tokens=12, answer_numbers=10_000) as node:
        with pytest.raises(Unprocessable, match=said) as refused:
            await node.inspect(command)
        assert (refused.value.code, refused.value.param) == (code, param)
        shown = await node.inspect(AttentionCommand("a " * 10, layers=(0, 1, 2, 3, 4)))
        assert len(shown.layers) == 5


async def test_an_answer_has_as_many_numbers_as_were_counted(start_node: StartNode):
    def numbers(result) -> int:
        arrays = [
            array
            for layer in result.layers
            for array in (
                layer.outputs,
                *(a for d in layer.directions for a in (d.scores, d.weights, d.outputs)),
            )
        ]
        return sum(array.size for array in arrays if array is not None)

    async with start_node("bidirectional") as node:
        count = numbers(await node.inspect(ALL))
    async with start_node("bidirectional", answer_numbers=count) as node:
        await node.inspect(ALL)
    async with start_node("bidirectional", answer_numbers=count - 1) as node:
        with pytest.raises(Unprocessable) as refused:
            await node.inspect(ALL)
    assert refused.value.extras["answer_numbers"] == count


def _hold(node: EncoderNode) -> threading.Event:
    """Hold inspections back until the event is set; the engine is not touched."""
    opened = threading.Event()
    inspect = node._inspector._model.encoder.inspect

    def held(*args):
        assert opened.wait(20)
        return inspect(*args)

    node._inspector._model.encoder.inspect = held  # type: ignore[method-assign]
    return opened


async def test_few_wait_more_are_refused_and_the_engine_goes_on(start_node: StartNode):
    async with start_node("multi-head") as node:
        opened = _hold(node)
        begun = [asyncio.create_task(node.inspect(ALL)) for _ in range(inspector.MOST_AT_ONCE)]
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable) as refused:
            await node.inspect(ALL)
        assert refused.value.code == "overloaded"
        begin = time.monotonic()
        assert (await node.embed(["other work"], truncate=False)).tokens == 4
        assert time.monotonic() - begin < 10
        begun.pop().cancel()
        opened.set()
        results = await asyncio.gather(*begun)
        assert len(results) == inspector.MOST_AT_ONCE - 1
        assert (await node.inspect(ALL)).read_tokens == 8


async def test_after_the_end_it_refuses(start_node: StartNode):
    async with start_node("multi-head") as node:
        with pytest.raises(BadRequest):
            await node.inspect(AttentionCommand("\ud800"))
    with pytest.raises(Unavailable) as refused:
        await node.inspect(ALL)
    assert refused.value.code == "draining"


async def test_tokens_are_counted_as_stateless(start_node: StartNode):
    async with start_node("infini") as node:
        name = b'longstream_tokens_total{kind="stateless",model="infini"} '
        before = float(node.exposition().split(name)[1].split()[0])
        await node.inspect(AttentionCommand(TEXT, "Read before."))
        await node.encode([TEXT], truncate=False)
        after = float(node.exposition().split(name)[1].split()[0])
    assert after - before == 8 + 5 + 8
