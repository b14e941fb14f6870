"""What the service answers about models and texts without a session, as frozen values; see `service.client.results`."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from service.client.results import Json, Vector, decode_vector


@dataclass(frozen=True, slots=True)
class Model:
    """A served model.

    Attributes:
        id: Name to call it by.
        attention: Its attention variant, e.g. `infini`.
        dimensions: Width of its vectors.
        max_chunk_tokens: Window of one segment, in tokens.
        memory_bytes: Size of a session's memory; 0 means that it has none and keeps no sessions.
        fingerprint: sha256 over configuration and weights.
        base: Name of the frozen base encoder.
        checkpoint: Name of the adapter on it, or None.
        evaluation: Figures of its card.
    """

    id: str
    attention: str
    dimensions: int
    max_chunk_tokens: int
    memory_bytes: int
    fingerprint: str
    base: str
    checkpoint: str | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(
            id=str(body["id"]),
            attention=str(body["attention"]),
            dimensions=int(body["dimensions"]),
            max_chunk_tokens=int(body["max_chunk_tokens"]),
            memory_bytes=int(body["memory_bytes"]),
            fingerprint=str(body["fingerprint"]),
            base=str(body["base"]),
            checkpoint=body.get("checkpoint"),
            evaluation=dict(body.get("evaluation") or {}),
        )


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of stateless texts.

    Attributes:
        vectors: float32, (texts, dimensions), unit length.
        tokens: Tokens that were encoded.
        truncated_tokens: Tokens dropped because the caller opted in.
    """

    vectors: Vector
    tokens: int
    truncated_tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON; the vectors come back in the order of the texts."""
        rows = sorted(body["data"], key=lambda item: int(item["index"]))
        usage = body["usage"]
        return cls(
            vectors=np.stack([decode_vector(row["embedding"]) for row in rows]),
            tokens=int(usage["prompt_tokens"]),
            truncated_tokens=int(usage.get("truncated_tokens", 0)),
        )
