"""Health and errors."""

from typing import Literal

from pydantic import ConfigDict

from service.schemas.base import ResponseModel


class Live(ResponseModel):
    """The process answers."""

    status: Literal["live"]


class ModelHealth(ResponseModel):
    """Whether a model encodes and its store keeps."""

    id: str
    ready: bool
    error: str | None = None
    """Error code of the failed check."""


class Ready(ResponseModel):
    """Every model that could be loaded is ready."""

    status: Literal["ready", "degraded"]
    """`degraded` if a model could not be loaded."""
    models: list[ModelHealth]


class OpenAIError(ResponseModel):
    """The error as OpenAI's SDK reads it."""

    message: str
    type: str
    param: str | None
    code: str


class ProblemDocument(ResponseModel):
    """RFC 9457 problem document; some codes add members, e.g. `expected_seq`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    error: OpenAIError
