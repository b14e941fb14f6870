"""How a short text is attended to: scores, weights and sums of every layer and head."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.attention import Inspection
from models.attention.softmax import AttentionMap
from models.loading import LoadedEncoder
from models.memory import Memory
from models.packing import Segment
from models.tokenizer import TokenizedText
from service.config import LimitsConfig
from service.encoder_node.tokenizing import (
    require_answerable,
    segments_of,
    tokens_of,
    with_special_tokens,
)
from service.engine import Engine
from service.errors import Unavailable, Unprocessable
from service.ports import (
    AttentionCommand,
    AttentionResult,
    DirectionAttention,
    LayerAttention,
    Stage,
    StageTimes,
)

MOST_AT_ONCE: Final = 8
"""Inspections of a replica that run, wait, or still read their context; more are refused."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What a text is attended to with; `tokens` is how many were read for it."""

    memory: Memory | None
    tokens: int = 0
    times: StageTimes = field(default_factory=StageTimes)


class Inspector:
    """Shows attention on a thread of its own, one text at a time: the engine's steps go on beside it.

    Args:
        model: The encoder and its tokenizer.
        engine: Reads contexts, which may be long.
        limits: How long a text may be and how large an answer.
    """

    def __init__(self, model: LoadedEncoder, engine: Engine, limits: LimitsConfig) -> None:
        self._model = model
        self._engine = engine
        self._answer_numbers = limits.answer_numbers
        self._most_tokens = min(limits.attention_tokens, model.tokenizer.max_tokens)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
        self._at_once = 0
        self._closed = False
        # How many heads and directions a variant has is asked of the variant itself, by looking at an empty text.
        [empty] = model.tokenizer.cut(())
        self._layers = self._look(empty, self._nothing())

    def close(self) -> None:
        """Finish what runs or waits; what comes later is refused."""
        self._closed = True
        self._thread.shutdown(wait=True)

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Show how a text is attended to; see `service.ports.EncoderPort.inspect`.

        Raises:
            BadRequest: a text is not Unicode.
            Unprocessable: as the port says.
            Unavailable: `overloaded`, `draining`.
        """
        with self._place():
            layers, heads = self._chosen(command)
            [text], tokenize_s = await tokens_of(self._model.tokenizer, [command.text])
            self._require_short(text)
            [segment] = self._model.tokenizer.cut(text.ids)
            numbers = self._numbers(len(segment.ids), command.stages) * len(layers) * len(heads)
            advice = "ask for fewer layers, heads or stages, or send a shorter text"
            require_answerable(numbers, self._answer_numbers, advice)
            past = await self._read(command.context)
            seen, wait_s, look_s = await self._aside(segment, past.memory)
        shares = [layer.memory_share for layer in seen if layer.memory_share is not None]
        return AttentionResult(
            tokens=with_special_tokens(text, [segment]),
            heads=heads,
            layers=tuple(_shown(i, seen[i], list(heads), command.stages) for i in layers),
            memory_share=torch.stack(shares).mean((0, 1)).numpy() if shares else None,
            read_tokens=past.tokens + len(segment.ids),
            times=past.times + StageTimes(tokenize_s, wait_s, look_s),
        )

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._closed:
            raise _stopping()
        if self._at_once >= MOST_AT_ONCE:
            raise Unavailable(
                "overloaded", "Too many requests wait for this model's attention; try again."
            )
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1

    def _chosen(self, command: AttentionCommand) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the layers and the heads to show."""
        if command.context is not None and not self._model.encoder.attention_has_memory:
            raise Unprocessable(
                "model_has_no_memory",
                "this model's attention has no memory: what came before a text does not change how it is read",
                "context",
            )
        heads = self._layers[0].outputs.shape[0]
        return (
            _existing(command.layers, len(self._layers), "layers"),
            _existing(command.heads, heads, "heads"),
        )

    def _require_short(self, text: TokenizedText) -> None:
        tokens = len(text.ids) + 2
        if tokens > self._most_tokens:
            raise Unprocessable(
                "input_too_long",
                f"input has {tokens} tokens with CLS and SEP; attention is shown of at most {self._most_tokens}: "
                "send a shorter text",
                "input",
                {"max_tokens": self._most_tokens},
            )

    def _numbers(self, tokens: int, stages: frozenset[Stage]) -> int:
        """Count what one head of one layer is shown by."""
        outputs = tokens * self._layers[0].outputs.shape[-1] if "outputs" in stages else 0
        squares = tokens**2 * len(stages - {"outputs"})
        return (squares + outputs) * len(self._layers[0].maps) + outputs

    async def _read(self, context: str | None) -> _Past:
        memory = self._nothing()
        if context is None or memory is None:
            return _Past(memory)
        [segments], tokenize_s = await segments_of(self._model.tokenizer, [context])
        result = await self._engine.read(segments, memory)
        return _Past(
            result.memory, result.tokens, StageTimes(tokenize_s, result.queue_s, result.infer_s)
        )

    async def _aside(
        self, segment: Segment, memory: Memory | None
    ) -> tuple[list[Inspection], float, float]:
        """Look on the inspector's thread; return what was seen, and the seconds waited and worked."""
        if self._closed:
            raise _stopping()
        asked = time.monotonic()

        def work() -> tuple[list[Inspection], float, float]:
            begun = time.monotonic()
            return self._look(segment, memory), begun - asked, time.monotonic() - begun

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _look(self, segment: Segment, memory: Memory | None) -> list[Inspection]:
        with torch.inference_mode():
            return self._model.encoder.inspect(segment, memory)

    def _nothing(self) -> Memory | None:
        encoder = self._model.encoder
        return encoder.empty_memory() if encoder.has_memory else None


def _existing(asked: tuple[int, ...] | None, count: int, param: str) -> tuple[int, ...]:
    if asked is None:
        return tuple(range(count))
    if any(not 0 <= one < count for one in asked):
        raise Unprocessable(
            "validation_error", f"{param}: this model has {param} 0 to {count - 1}.", param
        )
    return tuple(sorted(set(asked)))


def _shown(
    layer: int, seen: Inspection, heads: list[int], stages: frozenset[Stage]
) -> LayerAttention:
    def of_heads(tensor: Tensor) -> NDArray[np.float32]:
        array: NDArray[np.float32] = tensor.numpy()[heads]
        return array

    def direction(one: AttentionMap) -> DirectionAttention:
        return DirectionAttention(
            one.direction,
            scores=of_heads(one.scores) if "scores" in stages else None,
            weights=of_heads(one.weights) if "weights" in stages else None,
            outputs=of_heads(one.outputs) if "outputs" in stages else None,
        )

    return LayerAttention(
        layer,
        directions=tuple(map(direction, seen.maps)),
        outputs=of_heads(seen.outputs) if "outputs" in stages else None,
        memory_share=None if seen.memory_share is None else of_heads(seen.memory_share),
    )


def _stopping() -> Unavailable:
    return Unavailable("draining", "The replica is stopping; send the request again.")
