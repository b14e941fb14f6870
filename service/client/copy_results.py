"""What becomes of sessions beside appends and questions, as frozen values; see `service.client.results`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from service.client.results import Chunk, Document, Json, Vector


@dataclass(frozen=True, slots=True)
class StatelessState:
    """A session that is stored nowhere: all of it is the token.

    Attributes:
        model: Id of the model that reads it.
        token: Pass it with the next chunks; it stays good, so a document can be gone on with in two ways.
        expires_at: Unix time, seconds, from which the token is refused.
        next_seq: Chunks read so far.
        tokens: Content tokens read so far.
    """

    model: str
    token: str
    expires_at: int
    next_seq: int
    tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(
            model=str(body["model"]),
            token=str(body["state_token"]),
            expires_at=int(body["expires_at"]),
            next_seq=int(body["next_seq"]),
            tokens=int(body["tokens"]),
        )


@dataclass(frozen=True, slots=True)
class StatelessResult:
    """Answers to chunks of a session that is stored nowhere.

    Attributes:
        chunks: One per text, in order.
        state: The session afterwards.
        document: Running document vector, if it was asked for.
    """

    chunks: tuple[Chunk, ...]
    state: StatelessState
    document: Document | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        document = body.get("document")
        return cls(
            tuple(Chunk.of(item) for item in body["chunks"]),
            StatelessState.of(body),
            None if document is None else Document.of(document),
        )


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """What is in one part of a session's memory.

    Attributes:
        name: As the model calls it.
        shape: Its shape.
        axes: What the axes of the figures are: `layer` and `head`, `head`, or none.
        norm: Euclidean norm over the other axes, float32.
        effective_rank: Of matrices: in how many directions there is something; None for other parts.
        saturation: Of matrices: the share of the first direction, 0 to 1; None likewise.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    norm: Vector
    effective_rank: Vector | None
    saturation: Vector | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(
            name=str(body["name"]),
            shape=tuple(int(axis) for axis in body["shape"]),
            axes=tuple(str(axis) for axis in body["axes"]),
            norm=np.asarray(body["norm"], np.float32),
            effective_rank=_figures(body["effective_rank"]),
            saturation=_figures(body["saturation"]),
        )


@dataclass(frozen=True, slots=True)
class MemoryDescription:
    """What a session's memory holds.

    Attributes:
        next_seq: Chunks the session had read when it was asked.
        tokens_seen: Content tokens written.
        nbytes: Size of the memory, whatever was read.
        layers: Layers of the model whose attention has a memory.
        gates: Share of each head's output that is taken from memory, float32, (layers, heads); None without such
            layers.
        parts: What each part holds.
        segments: Segments that the reader of earlier chunks has read; None without one.
        numbers: About how many numbers the recall head keeps; None without one.
    """

    next_seq: int
    tokens_seen: int
    nbytes: int
    layers: tuple[int, ...]
    gates: Vector | None
    parts: tuple[MemoryPart, ...]
    segments: int | None
    numbers: float | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        reader, recall = _object(body["reader"]), _object(body["recall"])
        return cls(
            next_seq=int(body["next_seq"]),
            tokens_seen=int(body["tokens_seen"]),
            nbytes=int(body["memory_bytes"]),
            layers=tuple(int(layer) for layer in body["layers"]),
            gates=_figures(body["gates"]),
            parts=tuple(MemoryPart.of(part) for part in body["parts"]),
            segments=None if reader is None else int(reader["segments"]),
            numbers=None if recall is None else float(recall["numbers"]),
        )


def _figures(value: Any) -> Vector | None:
    return None if value is None else np.asarray(value, np.float32)


def _object(value: Any) -> Mapping[str, Any] | None:
    return None if value is None else dict(value)
