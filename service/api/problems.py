"""Errors as HTTP: one table of codes, one body, one handler for each way an error arrives.

The body is an RFC 9457 problem document with the nested `error` member that OpenAI's SDK reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.api.context import RequestContext
from service.api.validation import validation_problem
from service.errors import BadRequest, InternalError, NotFound, ServiceError

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:longstream:problem:"

_log = structlog.get_logger("longstream.api")


class MethodNotAllowed(ServiceError):
    """The route exists and does not answer this method."""

    status = 405
    title = "Method Not Allowed"


class RequestTimeout(ServiceError):
    """The body did not arrive in time."""

    status = 408
    title = "Request Timeout"


@dataclass(frozen=True, slots=True)
class Problem:
    """How one public code is rendered.

    Attributes:
        status: HTTP status.
        kind: `error.type` of OpenAI's shape.
        headers: Sent beside the standard ones.
    """

    status: int
    kind: str = "invalid_request_error"
    headers: Mapping[str, str] | None = None


# OpenAI's SDK repeats a 409 unless told otherwise, and a contradiction stays one.
_FINAL: Final = {"x-should-retry": "false"}
_PASSING: Final = {"x-should-retry": "true"}
# What is left of a body that came too late must not be read as the next request.
_CLOSE: Final = {"connection": "close"}

PROBLEMS: Final[Mapping[str, Problem]] = {
    "invalid_request": Problem(400),
    "not_found": Problem(404),
    "session_not_found": Problem(404),
    "model_not_found": Problem(404),
    "method_not_allowed": Problem(405),
    "request_timeout": Problem(408, headers=_CLOSE),
    "sequence_conflict": Problem(409, headers=_FINAL),
    "session_exists": Problem(409, headers=_FINAL),
    "request_in_progress": Problem(409, headers=_PASSING),
    "model_changed": Problem(409, headers=_FINAL),
    "session_deleted": Problem(410),
    "session_lost": Problem(410),
    "precondition_failed": Problem(412),
    "payload_too_large": Problem(413, headers=_CLOSE),
    "unsupported_media_type": Problem(415),
    "validation_error": Problem(422),
    "idempotency_key_reused": Problem(422),
    "input_too_long": Problem(422),
    "token_ids_not_supported": Problem(422),
    "model_has_no_memory": Problem(422),
    "internal_error": Problem(500, "server_error"),
    "overloaded": Problem(503, "server_error"),
    "draining": Problem(503, "server_error"),
    "store_unavailable": Problem(503, "server_error"),
    "model_unavailable": Problem(503, "server_error"),
    "out_of_storage": Problem(507, "server_error"),
}
"""Every code a client can meet."""


def problem_body(error: ServiceError, scope: Scope) -> dict[str, Any]:
    """Return the problem document of an error as JSON-ready members."""
    return {
        **error.extras,
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": quote(scope["path"]),
        "request_id": RequestContext.of(scope).request_id,
        "error": {
            "message": error.detail,
            "type": _row(error).kind,
            "param": error.param,
            "code": error.code,
        },
    }


def problem_response(error: ServiceError, scope: Scope) -> Response:
    """Render an error; a request answered by HEAD gets its headers only."""
    headers = dict(_row(error).headers or {})
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    RequestContext.of(scope).code = error.code
    body = b"" if scope["method"] == "HEAD" else orjson.dumps(problem_body(error, scope))
    return Response(body, error.status, headers, PROBLEM_MEDIA_TYPE)


def internal_problem(scope: Scope) -> Response:
    """Log the exception being handled and render an opaque 500."""
    request_id = RequestContext.of(scope).request_id
    _log.exception("unhandled_error", request_id=request_id)
    error = InternalError(
        "internal_error", f"An internal error; the operator finds it under {request_id}."
    )
    return problem_response(error, scope)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the app, the framework's own included, with a problem document."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_framework_error)


async def _on_service_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ServiceError):
        raise error
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Raised by the encoder as InternalError: its message may name what a caller must not see.
        return internal_problem(request.scope)
    return problem_response(error, request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_response(validation_problem(error.errors()), request.scope)


async def _on_framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = quote(request.scope["path"])
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(NotFound("not_found", f"There is no route {path}."), request.scope)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal = MethodNotAllowed(
            "method_not_allowed", f"{path} does not answer {request.method}."
        )
        response = problem_response(refusal, request.scope)
        response.headers.update(error.headers or {})
        return response
    return problem_response(BadRequest("invalid_request", str(error.detail)), request.scope)


def _row(error: ServiceError) -> Problem:
    return PROBLEMS.get(error.code) or Problem(error.status)
