"""Errors on the routes of text-embeddings-inference: its own body, its own statuses."""

from http import HTTPStatus
from typing import Final

import orjson
from fastapi import Response

from service.errors import PayloadTooLarge, RateLimited, ServiceError, Unavailable

TEI_PATHS: Final = frozenset({"/embed", "/embed_all", "/tokenize", "/similarity", "/info"})

_BACKEND: Final = 424
_OVERLOADED: Final = frozenset({"overloaded"})
_OVER_A_LIMIT: Final = frozenset({"input_too_long", "answer_too_large"})


def tei_response(error: ServiceError, headers: dict[str, str]) -> Response:
    """Render a public error.

    A replica that has too much to do is 429, as is a caller that asks too much; one that is not there 503, our own
    failure 424, a text or a batch that is too large 413; everything else keeps its status.
    """
    status, kind = error.status, "validation"
    if error.code in _OVERLOADED or isinstance(error, RateLimited):
        status, kind = HTTPStatus.TOO_MANY_REQUESTS, "overloaded"
    elif isinstance(error, Unavailable):
        kind = "unhealthy"
    elif error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        status, kind = _BACKEND, "backend"
    elif error.code in _OVER_A_LIMIT:
        status = PayloadTooLarge.status
    body = {"error": error.detail, "error_type": kind}
    return Response(orjson.dumps(body), status, headers, "application/json")
