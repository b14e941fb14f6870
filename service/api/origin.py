"""Web pages of other sites are kept out: a browser sends their simple POSTs to loopback unasked.

A request without `Origin` comes from a program and passes. A page whose own host name was made to
resolve to this machine (DNS rebinding) has the same origin and is not told apart here.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import Forbidden, problem_response

_SCHEMES: Final = ("http://", "https://")


class SameOriginApp:
    """ASGI middleware that refuses requests which a browser sends for a page of another origin.

    Args:
        app: The app.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 `forbidden_origin`."""
        if scope["type"] == "http" and not _same_origin(Headers(scope=scope)):
            refusal = Forbidden(
                "forbidden_origin",
                "Origin names another host than Host: pages of other sites may not call this service.",
                "Origin",
            )
            await problem_response(refusal, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _same_origin(headers: Headers) -> bool:
    """Tell whether every `Origin` there is names the host and port of `Host`; `null` names none."""
    own = {scheme + headers.get("host", "").lower() for scheme in _SCHEMES}
    return all(origin.lower() in own for origin in headers.getlist("origin"))
