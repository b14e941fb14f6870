"""The OpenAPI document: what FastAPI derives, plus the bodies that routes read by themselves."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.problems import PROBLEM_MEDIA_TYPE, PROBLEMS
from service.api.tei_errors import TEI_PATHS
from service.schemas import tei
from service.schemas.attention import AttentionRequest
from service.schemas.cohere import CohereEmbedRequest
from service.schemas.complete import CompleteRequest
from service.schemas.contextualized import ContextualizedRequest
from service.schemas.copies import ForkRequest, StatelessRequest
from service.schemas.embeddings import EmbeddingsRequest
from service.schemas.encode import EncodeRequest
from service.schemas.health import ProblemDocument
from service.schemas.query import QueryRequest
from service.schemas.sessions import AppendRequest, CreateSessionRequest, StreamEvent
from service.schemas.tokenize import TokenizeRequest

_SCHEMAS: Final = "#/components/schemas/"
_FRAMEWORK_ERROR: Final = "HTTPValidationError"
_FRAMEWORK_SCHEMAS: Final = (_FRAMEWORK_ERROR, "ValidationError")
_OWN_SCHEMAS: Final = (
    EmbeddingsRequest,
    EncodeRequest,
    AttentionRequest,
    TokenizeRequest,
    CreateSessionRequest,
    AppendRequest,
    CompleteRequest,
    QueryRequest,
    ForkRequest,
    ContextualizedRequest,
    CohereEmbedRequest,
    tei.TeiEmbedRequest,
    tei.TeiEmbedAllRequest,
    tei.TeiTokenizeRequest,
    tei.TeiSimilarityRequest,
    tei.TeiError,
    StatelessRequest,
    StreamEvent,
    ProblemDocument,
)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": _SCHEMAS + model.__name__}


def json_request(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads `model` as JSON."""
    return request_body("application/json", reference(model), required=required)


def request_body(
    media_type: str, schema: dict[str, Any], *, required: bool = True
) -> dict[str, Any]:
    """Return the `openapi_extra` of a route with a body."""
    return {"requestBody": {"required": required, "content": {media_type: {"schema": schema}}}}


def install_openapi(app: FastAPI) -> None:
    """Complete the app's OpenAPI document; it is built once, on first request."""
    derive = app.openapi

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(derive())
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign] # the documented way to extend it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    _, definitions = models_json_schema(
        [(model, "validation") for model in _OWN_SCHEMAS], ref_template=_SCHEMAS + "{model}"
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    schemas.update(definitions["$defs"])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _describe_errors(operation["responses"], path)
    return document


def _describe_errors(responses: dict[str, Any], path: str) -> None:
    """Say that every error is a problem document, where FastAPI would list its own 422."""
    if _FRAMEWORK_ERROR in str(responses.get("422")):
        del responses["422"]
    if path in TEI_PATHS:
        responses["default"] = {
            "description": "An error in text-embeddings-inference's words.",
            "content": {"application/json": {"schema": reference(tei.TeiError)}},
        }
        return
    codes = ", ".join(f"{code} ({problem.status})" for code, problem in PROBLEMS.items())
    responses["default"] = {
        "description": f"Problem document; `error.code` is one of: {codes}.",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": reference(ProblemDocument)}},
    }
