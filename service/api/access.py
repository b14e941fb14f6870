"""Who is calling: nobody passes without a key, wherever keys are configured, but to ask whether the service lives."""

import base64
import binascii
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import Door
from service.api.context import RequestContext
from service.api.problems import Forbidden, problem_response
from service.errors import ServiceError, Unauthorized

OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
"""What probes ask, without a key and without being counted."""
METRICS_PATHS: Final = frozenset({"/metrics", "/"})
"""What a key of scope `metrics` opens; a browser may show any key as the password of `Basic`."""

_READING: Final = frozenset({"GET", "HEAD"})
_BEARER: Final = 'Bearer realm="longstream"'
_BASIC: Final = 'Basic realm="longstream", charset="UTF-8"'


class AccessApp:
    """ASGI middleware that finds a request's caller and counts the request.

    Args:
        app: The app.
        door: Knows the keys and the limits.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401, 403 or 429."""
        if scope["type"] == "http" and not _is_probe(scope):
            try:
                await self._admit(scope)
            except ServiceError as error:
                response = problem_response(error, scope)
                if isinstance(error, Unauthorized):
                    _challenge(response.headers, scope["path"])
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        caller = await self._door.caller(_shown_key(scope))
        if caller is None:
            raise Unauthorized(
                "invalid_api_key",
                "This needs a valid API key: send `Authorization: Bearer lsk_…` or `x-api-key: lsk_…`.",
                "Authorization",
            )
        context = RequestContext.of(scope)
        context.caller = caller
        context.meter = self._door.meters.of(caller)
        if caller.scope != "api" and scope["path"] not in METRICS_PATHS:
            raise Forbidden(
                "insufficient_scope", "This API key opens the metrics only.", "Authorization"
            )
        context.meter.request()


def _is_probe(scope: Scope) -> bool:
    return scope["path"] in OPEN_PATHS and scope["method"] in _READING


def _shown_key(scope: Scope) -> str | None:
    """Return the one key that a request shows; None if it shows none, or several that differ."""
    headers = Headers(scope=scope)
    keys = {key.strip() for key in headers.getlist("x-api-key")}
    for value in headers.getlist("authorization"):
        kind, _, credentials = value.partition(" ")
        if kind.lower() == "basic" and scope["path"] in METRICS_PATHS:
            keys.add(_password(credentials))
        else:
            keys.add(credentials.strip() if kind.lower() == "bearer" else "")
    return keys.pop() if len(keys) == 1 else None


def _password(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[2]


def _challenge(headers: MutableHeaders, path: str) -> None:
    headers["www-authenticate"] = _BEARER
    if path in METRICS_PATHS:
        headers.append("www-authenticate", _BASIC)
