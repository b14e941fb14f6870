"""Tokens of a text: their places, their vectors, their attention."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.ports.values import EmbedResult, StageTimes

Stage: TypeAlias = Literal["scores", "weights", "outputs"]
"""The three steps of attention: how well query and key fit, how much each value counts, what they sum to."""


@dataclass(frozen=True, slots=True)
class TextTokens:
    """Tokens of one text, in reading order.

    Attributes:
        ids: Token ids.
        pieces: The tokens as the vocabulary spells them.
        offsets: First character of each token in the text and the one after its last; None for the CLS and SEP that
            the model puts around each segment.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class TokenizeResult:
    """Tokens of texts.

    Attributes:
        texts: One per text, without CLS and SEP.
        times: Where the time went.
    """

    texts: tuple[TextTokens, ...]
    times: StageTimes


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Tokens of one text with their vectors.

    Attributes:
        tokens: All of them, CLS and SEP of each segment included.
        vectors: The last layer's, as they are: float32, (tokens, dimensions). Their mean, at unit length, is the
            text's vector.
    """

    tokens: TextTokens
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """Vectors of texts and of their tokens.

    Attributes:
        embedded: The texts' own vectors, and what was read.
        texts: One per text.
    """

    embedded: EmbedResult
    texts: tuple[TokenVectors, ...]


@dataclass(frozen=True, slots=True)
class AttentionCommand:
    """A text whose attention is to be shown.

    Attributes:
        text: The text; it has to fit one segment.
        context: Text of any length that is read into a fresh memory before; None begins with an empty one.
        layers: Layers to show, from 0; None shows all.
        heads: Heads to show, from 0; None shows all.
        stages: Steps to show.
    """

    text: str
    context: str | None = None
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    stages: frozenset[Stage] = frozenset({"weights"})


@dataclass(frozen=True, slots=True)
class DirectionAttention:
    """The asked steps of one layer, looking in one direction.

    Attributes:
        direction: `both`, `forward` (at a token itself and those before it) or `backward`.
        scores: float32, (heads, tokens, tokens), row i for the query of token i; -inf where it may not look.
        weights: Softmax of each row of the scores, same shape.
        outputs: Values summed by the weights; float32, (heads, tokens, width of a head).
    """

    direction: str
    scores: NDArray[np.float32] | None
    weights: NDArray[np.float32] | None
    outputs: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class LayerAttention:
    """What one layer's attention did.

    Attributes:
        layer: Which one, from 0.
        directions: One entry per direction the variant looks in.
        outputs: What each head hands to the output projection, after directions are fused, heads weighted and memory
            mixed in; float32, (heads, tokens, width of a head).
        memory_share: Part of it that came from memory, in [0, 1]; float32, (heads, tokens); None without memory.
    """

    layer: int
    directions: tuple[DirectionAttention, ...]
    outputs: NDArray[np.float32] | None
    memory_share: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class AttentionResult:
    """How a text was attended to.

    Attributes:
        tokens: The text's tokens with CLS first and SEP last, as all of them attend.
        heads: Which heads the arrays hold, in their order.
        layers: The asked layers, in ascending order.
        memory_share: Mean of every token's share over all layers and heads, asked for or not; float32, (tokens,); None
            without memory.
        read_tokens: Tokens encoded, those of the context and CLS and SEP of every segment included.
        times: Where the time went.
    """

    tokens: TextTokens
    heads: tuple[int, ...]
    layers: tuple[LayerAttention, ...]
    memory_share: NDArray[np.float32] | None
    read_tokens: int
    times: StageTimes
