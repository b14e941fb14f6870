"""Errors as HTTP: one table of codes, one body, one way from any exception to what a caller sees.

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
from service.api.refusals import HeadersTooLarge, Misdirected, UriTooLong
from service.api.tei_errors import TEI_PATHS, tei_response
from service.api.validation import validation_problem
from service.errors import (
    MODEL_FAILED,
    OUTCOME_UNKNOWN,
    BadRequest,
    Conflict,
    Gone,
    InternalError,
    NotFound,
    OutcomeUnknown,
    OutOfStorage,
    PayloadTooLarge,
    PreconditionFailed,
    RateLimited,
    ServiceError,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:longstream:problem:"
_LONGEST_ECHO: Final = 100
_PROGRESS: Final = "next_seq"
"""The one member that an opaque 500 keeps: how far the request came."""

_log = structlog.get_logger("longstream.api")


class Forbidden(ServiceError):
    """The request comes from where none may come from."""

    status = 403
    title = "Forbidden"


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
        error: The errors that carry the code; they know status and title.
        headers: Sent beside the standard ones.
    """

    error: type[ServiceError]
    headers: Mapping[str, str] | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.error.status


# OpenAI's SDK repeats a 409 and a 503 unless told otherwise; a contradiction stays one, and so does a broken model;
# what may have been done must not be done twice.
_FINAL: Final = {"x-should-retry": "false"}
_PASSING: Final = {"x-should-retry": "true"}
# What is left of a body that came too late must not be read as the next request, and a stranger keeps no connection.
_CLOSE: Final = {"connection": "close"}

PROBLEMS: Final[Mapping[str, Problem]] = {
    "invalid_request": Problem(BadRequest),
    "invalid_framing": Problem(BadRequest, _CLOSE),
    "invalid_api_key": Problem(Unauthorized, _CLOSE),
    "insufficient_scope": Problem(Forbidden),
    "forbidden_origin": Problem(Forbidden),
    "misdirected_request": Problem(Misdirected),
    "uri_too_long": Problem(UriTooLong, _CLOSE),
    "headers_too_large": Problem(HeadersTooLarge, _CLOSE),
    "rate_limited": Problem(RateLimited),
    "not_found": Problem(NotFound),
    "session_not_found": Problem(NotFound),
    "model_not_found": Problem(NotFound),
    "method_not_allowed": Problem(MethodNotAllowed),
    "request_timeout": Problem(RequestTimeout, _CLOSE),
    "sequence_conflict": Problem(Conflict, _FINAL),
    "session_exists": Problem(Conflict, _FINAL),
    "session_completed": Problem(Conflict, _FINAL),
    "request_in_progress": Problem(Conflict, _PASSING),
    "snapshot_not_kept": Problem(Conflict, _FINAL),
    "model_changed": Problem(Conflict, _FINAL),
    "session_deleted": Problem(Gone),
    "session_expired": Problem(Gone),
    "session_lost": Problem(Gone),
    "precondition_failed": Problem(PreconditionFailed),
    "payload_too_large": Problem(PayloadTooLarge, _CLOSE),
    "unsupported_media_type": Problem(UnsupportedMedia),
    "validation_error": Problem(Unprocessable),
    "idempotency_key_reused": Problem(Unprocessable),
    "input_too_long": Problem(Unprocessable),
    "answer_too_large": Problem(Unprocessable),
    "token_ids_not_supported": Problem(Unprocessable),
    "model_has_no_memory": Problem(Unprocessable),
    "session_has_no_index": Problem(Unprocessable),
    "invalid_session_file": Problem(Unprocessable),
    "unsupported_session_file": Problem(Unprocessable),
    "invalid_state": Problem(Unprocessable),
    "invalid_state_token": Problem(Unprocessable),
    "internal_error": Problem(InternalError),
    "overloaded": Problem(Unavailable),
    "draining": Problem(Unavailable),
    "store_unavailable": Problem(Unavailable),
    "model_unavailable": Problem(Unavailable),
    MODEL_FAILED: Problem(Unavailable, _FINAL),
    OUTCOME_UNKNOWN: Problem(OutcomeUnknown, _FINAL),
    "out_of_storage": Problem(OutOfStorage),
}
"""Every code a client can meet."""


def public_error(error: Exception, scope: Scope) -> ServiceError:
    """Return what a caller may see of an error, and note its code for log and metrics.

    A 500 is logged with its trace and becomes opaque: its message may name what a caller must not see.
    """
    context = RequestContext.of(scope)
    if not isinstance(error, ServiceError) or error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("unhandled_error", exc_info=error, request_id=context.request_id)
        error = _opaque(error, context.request_id)
    context.code = error.code
    return error


def problem_body(error: ServiceError, scope: Scope) -> dict[str, Any]:
    """Return the problem document of a public error as JSON-ready members."""
    return _members(error, quote(scope["path"]), RequestContext.of(scope).request_id)


def bare_problem(error: ServiceError, request_id: str) -> bytes:
    """Return the problem document of a request whose head could not be read."""
    return orjson.dumps(_members(error, "/", request_id))


def _members(error: ServiceError, instance: str, request_id: str) -> dict[str, Any]:
    server = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return {
        **error.extras,
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "request_id": request_id,
        "error": {
            "message": error.detail,
            "type": "server_error" if server else "invalid_request_error",
            "param": error.param,
            "code": error.code,
        },
    }


def problem_response(error: Exception, scope: Scope) -> Response:
    """Render any error; a request answered by HEAD gets its headers only."""
    public = public_error(error, scope)
    row = PROBLEMS.get(public.code)
    headers = dict((row and row.headers) or {})
    retry_after_s = public.extras.get("retry_after_s", public.retry_after_s)
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    if scope["path"] in TEI_PATHS:
        return tei_response(public, headers)
    body = b"" if scope["method"] == "HEAD" else orjson.dumps(problem_body(public, scope))
    return Response(body, public.status, headers, PROBLEM_MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the app, the framework's own included, with a problem document."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_framework_error)


async def _on_service_error(request: Request, error: Exception) -> Response:
    return problem_response(error, request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_response(validation_problem(error.errors()), request.scope)


async def _on_framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = _short(quote(request.scope["path"]))
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(NotFound("not_found", f"There is no route {path}."), request.scope)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal = MethodNotAllowed(
            "method_not_allowed", f"{path} does not answer {_short(request.method)}."
        )
        response = problem_response(refusal, request.scope)
        response.headers.update(error.headers or {})
        return response
    return problem_response(BadRequest("invalid_request", str(error.detail)), request.scope)


def _short(text: str) -> str:
    """Keep an answer from being larger than what it answers."""
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}…"


def _opaque(error: Exception, request_id: str) -> InternalError:
    extras = error.extras if isinstance(error, ServiceError) else {}
    return InternalError(
        "internal_error",
        f"An internal error; the operator finds it under {request_id}.",
        extras={_PROGRESS: extras[_PROGRESS]} if _PROGRESS in extras else None,
    )
