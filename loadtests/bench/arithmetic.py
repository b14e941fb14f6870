"""What an encoder costs in arithmetic, and what this machine does of it at best."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from models.config import EncoderConfig
from models.prepared import PreparedLinear

MULTIPLY_ADD: Final = 2
_ROWS: Final = 1024
"""Rows of a document that stand for all of them: the cost of attention is the same for each."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations of one token.

    Attributes:
        linear: In the matrix products with weights.
        attention: In the products of queries, keys and values, over a whole segment.
    """

    linear: int
    attention: int

    @property
    def total(self) -> int:
        """Of everything that a matrix product does."""
        return self.linear + self.attention


def cost_of_token(config: EncoderConfig, segment: int) -> Cost:
    """Return what a token of a segment of some length costs."""
    width, inner = config.width, config.feed_forward_width
    weights = 4 * width * width + 2 * width * inner
    return Cost(
        linear=config.layers * MULTIPLY_ADD * weights,
        attention=config.layers * MULTIPLY_ADD * 2 * segment * width,
    )


def gemm_rate(config: EncoderConfig, rows: int, repeats: int) -> float:
    """Return floating-point operations a second of matrix products at an encoder's shapes, by the faster library.

    torch's own products are another library's than those of served layers on some processors; a bound is the best of
    all that is at hand.

    Args:
        config: Shapes.
        rows: Tokens of a step.
        repeats: Times that all shapes are run; the fastest counts, for a bound.
    """
    width, inner = config.width, config.feed_forward_width
    shapes = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
    operands = [(torch.randn(rows, k), nn.Linear(k, n)) for k, n in shapes]
    prepared = [(x, PreparedLinear([layer], "fp32")) for x, layer in operands]
    operations = sum(MULTIPLY_ADD * rows * k * n for k, n in shapes)

    def own() -> None:
        for x, layer in operands:
            layer(x)

    def served() -> None:
        for x, layer in prepared:
            layer(x)

    return operations / min(fastest(own, repeats), fastest(served, repeats))


def recompute_seconds(config: EncoderConfig, tokens: int) -> float:
    """Return the seconds of full attention over a document, estimated from some of its rows.

    One layer is run for 1,024 rows against all keys and values and scaled to all rows and layers: every row costs the
    same, and the whole would take minutes where the document is long. Norms and GELU included, embeddings not.
    """
    rows = min(_ROWS, tokens)
    return fastest(_layer(config, rows, tokens), 2) * config.layers * tokens / rows


def whole_seconds(config: EncoderConfig, tokens: int) -> float:
    """Return the seconds of full attention over a document, every row of every layer, run once."""
    layer = _layer(config, tokens, tokens)
    begun_s = time.perf_counter()
    with torch.inference_mode():
        for _ in range(config.layers):
            layer()
    return time.perf_counter() - begun_s


def continue_seconds(config: EncoderConfig, tokens: int, chunk: int) -> float:
    """Return the seconds of a chunk against the keys and values of a document so far, which somebody kept.

    Causal models only can: in others, what comes later changes what was before. One layer is run, scaled to all.
    """
    return fastest(_layer(config, chunk, tokens), 2) * config.layers


def _layer(config: EncoderConfig, rows: int, tokens: int) -> Callable[[], None]:
    """Return one layer over some rows of a document, with random weights and inputs."""
    width, inner, heads = config.width, config.feed_forward_width, config.heads
    keys = torch.randn(1, heads, tokens, width // heads)
    x = torch.randn(rows, width)
    # Such layers as are served: anybody who recomputes a document could have them, too.
    project, back, widen, narrow = (
        PreparedLinear([nn.Linear(k, n)], "fp32", gelu=n == inner)
        for k, n in ((width, 3 * width), (width, width), (width, inner), (inner, width))
    )

    def layer() -> None:
        queries = project(x)[:, :width].reshape(1, rows, heads, -1).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(queries, keys, keys)
        out = back(mixed.transpose(1, 2).reshape(rows, width), x)
        normed = F.layer_norm(out, (width,))
        F.layer_norm(narrow(widen(normed), normed), (width,))

    return layer


def fastest(work: Callable[[], None], repeats: int) -> float:
    """Return the seconds of the fastest of some runs, after one that does not count."""
    seconds = []
    with torch.inference_mode():
        work()
        for _ in range(repeats):
            begun_s = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begun_s)
    return min(seconds)
