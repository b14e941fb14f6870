"""Tokens and attention of the encoder without a model: words, and arithmetic on their places."""

import re

import numpy as np
from numpy.typing import NDArray

from service.ports import (
    AttentionCommand,
    AttentionResult,
    DirectionAttention,
    LayerAttention,
    StageTimes,
    TextTokens,
)

LAYERS, HEADS, HEAD_WIDTH = 2, 3, 4


def fake_tokens(text: str, most: int | None = None, *, special: bool = False) -> TextTokens:
    """Return a text's words, at most so many; a word's id is its length."""
    found = list(re.finditer(r"\S+", text))[:most]
    ids = tuple(len(match[0]) for match in found)
    pieces = tuple(match[0] for match in found)
    offsets: tuple[tuple[int, int] | None, ...] = tuple(match.span() for match in found)
    if not special:
        return TextTokens(ids, pieces, offsets)
    return TextTokens((101, *ids, 102), ("[CLS]", *pieces, "[SEP]"), (None, *offsets, None))


def fake_scores(tokens: int, layer: int) -> NDArray[np.float32]:
    """Return scores that know their layer, head, row and column; nothing after a token is seen."""
    heads, rows, columns = np.ogrid[:HEADS, :tokens, :tokens]
    scores = (heads + rows * columns / tokens + layer).astype(np.float32)
    return np.where(columns > rows, np.float32("-inf"), scores)


def fake_attention(
    command: AttentionCommand, times: StageTimes, *, memory: bool
) -> AttentionResult:
    """Attend to words: causal, with more memory for later ones."""
    tokens = fake_tokens(command.text, special=True)
    count = len(tokens.ids)
    heads = list(range(HEADS) if command.heads is None else command.heads)
    share = np.linspace(0, 1, count, dtype=np.float32) if memory else None
    layers = []
    for layer in range(LAYERS) if command.layers is None else command.layers:
        scores = fake_scores(count, layer)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        outputs = weights[..., :1].repeat(HEAD_WIDTH, -1)
        steps = {"scores": scores[heads], "weights": weights[heads], "outputs": outputs[heads]}
        shown = {name: steps[name] if name in command.stages else None for name in steps}
        layers.append(
            LayerAttention(
                layer,
                (DirectionAttention("forward", **shown),),
                shown["outputs"],
                None if share is None else np.stack([share] * len(heads)),
            )
        )
    read = count + len((command.context or "").split())
    return AttentionResult(tokens, tuple(heads), tuple(layers), share, read, times)
