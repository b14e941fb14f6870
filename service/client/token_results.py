"""What the service answers about tokens, as frozen values; see `service.client.results`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.client.results import Json, Vector, decode_vector


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text.

    Attributes:
        id: Token id.
        piece: The token as the vocabulary spells it.
        start: Its first character; None for CLS and SEP.
        end: The character after its last; None where `start` is.
    """

    id: int
    piece: str
    start: int | None
    end: int | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        start, end = body["start"], body["end"]
        return cls(
            id=int(body["id"]),
            piece=str(body["token"]),
            start=None if start is None else int(start),
            end=None if end is None else int(end),
        )


@dataclass(frozen=True, slots=True)
class Tokenization:
    """Tokens of texts.

    Attributes:
        texts: Per text its tokens, without CLS and SEP.
        total: Tokens of all texts.
        max_chunk_tokens: Window of one segment; two of it are CLS and SEP.
    """

    texts: tuple[tuple[Token, ...], ...]
    total: int
    max_chunk_tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON; the texts come back in their order."""
        rows = sorted(body["data"], key=lambda item: int(item["index"]))
        return cls(
            tuple(_tokens_of_text(row) for row in rows),
            int(body["total"]),
            int(body["max_chunk_tokens"]),
        )


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text with its tokens.

    Attributes:
        embedding: float32, (dimensions,), unit length: the mean over all token vectors, CLS and SEP included.
        tokens: Its tokens; of every segment, where the text has several.
        token_embeddings: float32, (tokens, dimensions); the last layer's, not normalised.
    """

    embedding: Vector
    tokens: tuple[Token, ...]
    token_embeddings: NDArray[np.float32]

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        embedding = decode_vector(body["embedding"])
        rows = [decode_vector(item["embedding"]) for item in body["tokens"]]
        return cls(
            embedding,
            tuple(Token.of(item) for item in body["tokens"]),
            np.stack(rows) if rows else np.empty((0, len(embedding)), np.float32),
        )


@dataclass(frozen=True, slots=True)
class Encodings:
    """Texts with their tokens.

    Attributes:
        texts: One per text.
        tokens: Tokens that were encoded, CLS and SEP included.
        truncated_tokens: Tokens dropped because the caller opted in.
    """

    texts: tuple[EncodedText, ...]
    tokens: int
    truncated_tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON; the texts come back in their order."""
        rows = sorted(body["data"], key=lambda item: int(item["index"]))
        usage = body["usage"]
        return cls(
            tuple(EncodedText.of(row) for row in rows),
            int(usage["prompt_tokens"]),
            int(usage["truncated_tokens"]),
        )


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """The asked steps of attention in one direction; None where a step was not asked for.

    Attributes:
        scores: How well queries fit keys, -inf where a token may not look; float32, (layers, heads, tokens, tokens).
        weights: Softmax of the scores, every row sums to 1; same shape.
        outputs: Values summed by the weights; float32, (layers, heads, tokens, width of a head).
    """

    scores: NDArray[np.float32] | None
    weights: NDArray[np.float32] | None
    outputs: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Attention:
    """How a text was attended to.

    Attributes:
        tokens: CLS, the text's tokens, SEP.
        layers: Which layers the arrays hold, in their order.
        heads: Which heads they hold.
        directions: A map per direction the model looks in: `both`, or `forward` and `backward`.
        outputs: What heads hand on, after directions are fused, heads weighted and memory mixed in; float32, (layers,
            heads, tokens, width of a head); None unless outputs were asked for.
        head_memory_share: Part of each head's output that came from memory; float32, (layers, heads, tokens); None
            on a model without memory.
        memory_share: Its mean over all layers and heads of the model; float32, (tokens,).
    """

    tokens: tuple[Token, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    directions: Mapping[str, AttentionMap]
    outputs: NDArray[np.float32] | None
    head_memory_share: NDArray[np.float32] | None
    memory_share: NDArray[np.float32] | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        layers = [layer["heads"] for layer in body["layers"]]
        if not layers or not layers[0]:
            raise ValueError("an answer about attention without a layer or a head")
        share = body.get("memory_share")
        return cls(
            tokens=tuple(Token.of(item) for item in body["tokens"]),
            layers=tuple(int(layer["layer"]) for layer in body["layers"]),
            heads=tuple(int(head["head"]) for head in layers[0]),
            directions={
                str(one["direction"]): _map_of(layers, place)
                for place, one in enumerate(layers[0][0]["directions"])
            },
            outputs=_array(layers, "outputs"),
            head_memory_share=_array(layers, "memory_share"),
            memory_share=None if share is None else np.asarray(share, np.float32),
        )


def _tokens_of_text(row: Json) -> tuple[Token, ...]:
    parts = zip(row["ids"], row["tokens"], row["offsets"], strict=True)
    return tuple(
        Token(int(i), str(piece), int(start), int(end)) for i, piece, (start, end) in parts
    )


def _map_of(layers: Sequence[Sequence[Json]], place: int) -> AttentionMap:
    maps = [[head["directions"][place] for head in layer] for layer in layers]
    scores = _array(maps, "scores")
    if scores is not None:  # JSON has no way to say -inf: hidden scores come as null
        scores = np.where(np.isnan(scores), np.float32("-inf"), scores)
    return AttentionMap(scores, _array(maps, "weights"), _array(maps, "outputs"))


def _array(layers: Sequence[Sequence[Json]], name: str) -> NDArray[np.float32] | None:
    """Gather one member of all layers and heads; None if they do not have it."""
    if name not in layers[0][0]:
        return None
    values: list[list[Any]] = [[head[name] for head in layer] for layer in layers]
    return np.asarray(values, dtype=np.float32)
