"""`/v1/models` in OpenAI's shape, with longstream's own members beside it."""

from typing import Any, Literal

from service.schemas.base import ResponseModel


class Model(ResponseModel):
    """A served model."""

    id: str
    object: Literal["model"]
    created: int
    """Always 0: a model is known by its fingerprint."""
    owned_by: str
    attention: str
    """Attention variant."""
    dimensions: int
    """Width of its vectors."""
    max_chunk_tokens: int
    """Window of one segment, in tokens."""
    memory_bytes: int
    """Size of a session's memory; 0 if the model has none."""
    fingerprint: str
    """sha256 over the configuration and every weight."""
    base: str
    checkpoint: str | None
    evaluation: dict[str, Any]
    precision: str
    """What its linear layers are computed in: `fp32`, or `bf16`. Its memory is float32."""


class ModelList(ResponseModel):
    """All served models."""

    object: Literal["list"]
    data: list[Model]
