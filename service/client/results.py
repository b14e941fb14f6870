"""What the service answers, as frozen values, and how they are read from JSON.

Readers raise `KeyError`, `TypeError` or `ValueError` on anything the contract does not promise;
`service.client.core` turns those into `ProtocolError`.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """A document that is being read.

    Attributes:
        id: Name of the session.
        model: Id of the model that reads it.
        status: `open`, or why it is not.
        next_seq: Chunks read so far.
        tokens: Content tokens read so far.
        memory_bytes: Size of its memory, whatever the length; None while its model is not served.
        state_bytes: Bytes the service stores for it beside its answers.
        created_at: Unix time, seconds.
        updated_at: Unix time of the last chunk, seconds.
        metadata: The caller's own JSON object.
        etag: Entity tag; changes with every chunk and with completion.
        completed: True once it takes no more chunks.
        index: Whether `query` finds its nearest chunks.
        forked_from: Id of the session whose past it shares; None if it began by itself.
        forked_at: How many chunks they share; None likewise.
        expires_at: Unix time at which it expires unless something is appended before, seconds; None for never.
    """

    id: str
    model: str
    status: str
    next_seq: int
    tokens: int
    memory_bytes: int | None
    state_bytes: int
    created_at: float
    updated_at: float
    metadata: dict[str, Any]
    etag: str
    completed: bool
    index: bool = False
    forked_from: str | None = None
    forked_at: int | None = None
    expires_at: float | None = None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        fork = body["forked_from"]
        return cls(
            id=str(body["id"]),
            model=str(body["model"]),
            status=str(body["status"]),
            next_seq=int(body["next_seq"]),
            tokens=int(body["tokens"]),
            memory_bytes=None if body["memory_bytes"] is None else int(body["memory_bytes"]),
            state_bytes=int(body["state_bytes"]),
            created_at=float(body["created_at"]),
            updated_at=float(body["updated_at"]),
            metadata=dict(body.get("metadata") or {}),
            etag=str(body["etag"]),
            completed=bool(body["completed"]),
            index=bool(body["index"]),
            forked_from=None if fork is None else str(fork["id"]),
            forked_at=None if fork is None else int(fork["at_seq"]),
            expires_at=None if body.get("expires_at") is None else float(body["expires_at"]),
        )


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some of the caller's sessions, by ascending id.

    Attributes:
        sessions: The sessions of this page.
        next_after: Pass it as `after` to get the next page; None on the last one.
    """

    sessions: tuple[Session, ...]
    next_after: str | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        following = body.get("next_after") if body["has_more"] else None
        return cls(tuple(Session.of(item) for item in body["data"]), following)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The answer to one chunk.

    Attributes:
        seq: Position in the session, from 0.
        embedding: float32, (dimensions,), unit length; knows what came before.
        tokens: Content tokens of the chunk.
        token_start: Content tokens of the session before it.
        token_end: `token_start + tokens`.
        replayed: True if this is the kept answer of an earlier append.
    """

    seq: int
    embedding: Vector
    tokens: int
    token_start: int
    token_end: int
    replayed: bool

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        token_start, token_end = body["token_range"]
        return cls(
            seq=int(body["seq"]),
            embedding=decode_vector(body["embedding"]),
            tokens=int(body["tokens"]),
            token_start=int(token_start),
            token_end=int(token_end),
            replayed=bool(body["replayed"]),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """The running vector of everything a session has read.

    Attributes:
        embedding: float32, (dimensions,), unit length; zeros before the first token.
        tokens: Content tokens behind it.
        next_seq: Chunks behind it.
    """

    embedding: Vector
    tokens: int
    next_seq: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(decode_vector(body["embedding"]), int(body["tokens"]), int(body["next_seq"]))


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The answers of one append, all of them durable.

    Attributes:
        chunks: One per text, in order.
        next_seq: Sequence number the session expects now.
        replayed: True if every chunk had been read before.
        document: Running document vector, if it was asked for.
    """

    chunks: tuple[Chunk, ...]
    next_seq: int
    replayed: bool
    document: Document | None = None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        document = body.get("document")
        return cls(
            chunks=tuple(Chunk.of(item) for item in body["chunks"]),
            next_seq=int(body["next_seq"]),
            replayed=bool(body["replayed"]),
            document=None if document is None else Document.of(document),
        )


def decode_vector(value: object) -> Vector:
    """Read a vector that came as base64 of little-endian float32, or as a list of numbers."""
    if isinstance(value, str):
        raw = base64.b64decode(value, validate=True)
        return np.frombuffer(raw, dtype="<f4").astype(np.float32)
    vector = np.asarray(value, dtype=np.float32)
    if vector.ndim != 1:
        raise ValueError(f"a vector has one axis, not {vector.ndim}")
    return vector
