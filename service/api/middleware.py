"""Around every request: its id, its time, one log line, its metrics, and no exception past this point.

Plain ASGI: nothing is buffered, so a stream keeps its backpressure in both directions.
"""

import re
import uuid
from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import CLIENT_LEFT, RequestContext
from service.api.problems import problem_response
from service.metrics import GatewayMetrics
from service.metrics.catalogue import OTHER, REJECT_REASONS
from service.redaction import session_hash

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
SECURITY_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    # What a session answers is its owner's; the rest changes with every request.
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
"""On every answer whose route does not say otherwise."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES: Final = frozenset({"/health/ready"})
"""Routes whose 503 is their answer, and no refusal of work."""

_log = structlog.get_logger("longstream.access")


class ObservedApp:
    """ASGI middleware that observes an app.

    Args:
        app: The app.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; only HTTP is observed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(_request_id(scope))
        context.attach(scope)
        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            try:
                await self._answer(scope, receive, _stamped(context, send))
            finally:
                self._record(context, scope)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            RequestContext.of(scope).code = "client_disconnected"
        except (
            Exception
        ) as error:  # the last line of defence: whatever a bug raises becomes an opaque 500
            response = problem_response(error, scope)
            if RequestContext.of(scope).status != CLIENT_LEFT:
                # Part of the answer is out; failing the connection is the only honest end.
                raise
            await response(scope, receive, send)

    def _record(self, context: RequestContext, scope: Scope) -> None:
        # What was shed came to no route, but those routes are their paths.
        route = scope["path"] if context.shed else getattr(scope.get("route"), "path", None)
        seconds = context.elapsed
        self._metrics.request(route, scope["method"], context.status, seconds)
        if context.code in REJECT_REASONS and route not in _PROBES:
            self._metrics.rejected(context.code)
        if context.event_status is not None:
            self._metrics.stream_error(context.event_status)
        # Every line of a replica passes through Ray's log monitor: what went well is for debugging.
        well = context.code is None and context.status < HTTPStatus.BAD_REQUEST
        # In a flood a line for each would cost more than what it tells of; the metrics count them.
        log = _log.debug if well or context.shed else _log.info
        log(
            "http_request",
            route=route,
            # Any word may be a method, and what a client makes up does not get into logs.
            method=scope["method"] if scope["method"] in _METHODS else OTHER,
            code=context.status,
            error=context.code,
            duration_ms=round(seconds * 1e3, 3),
            request_id=context.request_id,
            **_whom(context, scope),
        )


def _whom(context: RequestContext, scope: Scope) -> dict[str, str]:
    """Return what tells callers and sessions apart in a log, without their secrets and names."""
    named: dict[str, str] = {}
    if context.caller is not None and context.caller.key_id is not None:
        named["key"] = context.caller.key_id
    session_id = scope.get("path_params", {}).get("session_id")
    if session_id is not None:
        named["session"] = session_hash(session_id)
    return named


def _request_id(scope: Scope) -> str:
    proposed = Headers(scope=scope).get("x-request-id", "")
    return proposed if _REQUEST_ID.fullmatch(proposed) else uuid.uuid4().hex


def _stamped(context: RequestContext, send: Send) -> Send:
    async def stamp(message: Message) -> None:
        if message["type"] == "http.response.start":
            context.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = context.request_id
            headers["server-timing"] = context.server_timing()
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if context.meter is not None:
                headers.update(context.meter.headers())
        try:
            await send(message)
        except OSError:
            # How ASGI says that the client has left.
            raise ClientDisconnect from None

    return stamp
