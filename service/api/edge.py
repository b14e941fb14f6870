"""What is refused before anything is known of a request but its head, and how slowly its body may come.

Plain ASGI, between the observer and everything else. A request without `Origin` and `Sec-Fetch-Site` comes from a
program and passes; a page of another site is told by its `Origin`, or by `Sec-Fetch-Site` where browsers send none (an
image's GET), and one whose own name was made to resolve to this machine (DNS rebinding) by its `Host`.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import (
    Forbidden,
    RequestTimeout,
    problem_response,
)
from service.api.refusals import HeadersTooLarge, Misdirected, UriTooLong
from service.config_access import EdgeConfig
from service.errors import BadRequest, ServiceError, UnsupportedMedia

_SCHEMES: Final = ("http://", "https://")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_ABSOLUTE: Final = re.compile(rb"https?://(?P<authority>[^/?#]+)(?P<path>/.*)?", re.IGNORECASE)
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""Who a browser may send a request for: the service's own page, or the person at the keyboard."""
_DASHBOARD: Final = "/"
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:]+)(?::[0-9]{0,5})?", re.IGNORECASE)


class EdgeApp:
    """ASGI middleware that bounds a request's head and its sender's slowness.

    Args:
        app: The app.
        edge: The bounds.
        hosts: Names that `Host` may have, in lower case; None for any.
    """

    def __init__(self, app: ASGIApp, edge: EdgeConfig, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._edge = edge
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400, 403, 414, 415, 421 or 431."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _to_origin_form(scope)
        refusal = next(self._refusals(scope, Headers(scope=scope)), None)
        if refusal is not None:
            await problem_response(refusal, scope)(scope, receive, send)
            return
        await self._app(scope, _in_time(receive, self._edge.idle_seconds), send)

    def _refusals(self, scope: Scope, headers: Headers) -> Iterator[ServiceError]:
        """Yield what is wrong with a head, its shape before its meaning."""
        yield from _oversized(scope, headers, self._edge)
        version = scope.get("http_version", "1.1")
        if version not in _VERSIONS:
            yield BadRequest("invalid_framing", f"HTTP/{version} is not spoken here; use HTTP/1.1.")
        if _ambiguous(headers, version):
            yield BadRequest(
                "invalid_framing",
                "Transfer-Encoding stands beside Content-Length or in HTTP/1.0: send one of them, with HTTP/1.1.",
                "Transfer-Encoding",
            )
        if not _host_allowed(headers, self._hosts):
            yield Misdirected(
                "misdirected_request",
                "This service does not go by the name in Host; its operator lists names in edge.allowed_hosts.",
                "Host",
            )
        if not _same_origin(headers):
            yield Forbidden(
                "forbidden_origin",
                "Origin names another host than Host: pages of other sites may not call this service.",
                "Origin",
            )
        if not (_same_site(headers) or _opens_dashboard(scope, headers)):
            yield Forbidden(
                "forbidden_origin",
                "Sec-Fetch-Site names another site: its pages may link to the dashboard, and not call this service.",
                "Sec-Fetch-Site",
            )
        if _encoded(headers):
            yield UnsupportedMedia(
                "unsupported_media_type",
                "Content-Encoding is not supported; send the body as it is.",
                "Content-Encoding",
            )


def _to_origin_form(scope: Scope) -> None:
    """Take scheme and host off a target that has them; the host stands for `Host` (RFC 9112, 3.2.2)."""
    named = _ABSOLUTE.fullmatch(scope.get("raw_path") or b"")
    if named is None:
        return
    scope["raw_path"] = named["path"] or b"/"
    scope["path"] = unquote(scope["raw_path"].decode("ascii"))
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    scope["headers"] = [(b"host", named["authority"]), *others]


def _oversized(scope: Scope, headers: Headers, edge: EdgeConfig) -> Iterator[ServiceError]:
    target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if target > edge.url_bytes:
        yield UriTooLong(
            "uri_too_long",
            f"The request target is longer than {edge.url_bytes} bytes.",
            extras={"max_url_bytes": edge.url_bytes},
        )
    if len(headers.raw) > edge.headers:
        yield HeadersTooLarge(
            "headers_too_large",
            f"The request has more than {edge.headers} header fields.",
            extras={"max_headers": edge.headers},
        )
    # h11 bounds what it has to wait for: a head that arrives as a whole may be as large as one read.
    if target + sum(len(name) + len(value) for name, value in headers.raw) > edge.head_bytes:
        yield HeadersTooLarge(
            "headers_too_large",
            f"The head of the request is larger than {edge.head_bytes} bytes.",
            extras={"max_head_bytes": edge.head_bytes},
        )


def _ambiguous(headers: Headers, version: str) -> bool:
    """Tell whether two readers could see another end of the body (RFC 9112, 6.1): how requests are smuggled."""
    chunked = "transfer-encoding" in headers
    return chunked and ("content-length" in headers or version == "1.0")


def _host_allowed(headers: Headers, allowed: frozenset[str] | None) -> bool:
    if allowed is None:
        return True
    named = _HOST.fullmatch(headers.get("host", ""))
    return named is not None and named["name"].lower() in allowed


def _same_origin(headers: Headers) -> bool:
    """Tell whether every `Origin` there is names the host and port of `Host`; `null` names none."""
    own = {scheme + headers.get("host", "").lower() for scheme in _SCHEMES}
    return all(origin.lower() in own for origin in headers.getlist("origin"))


def _same_site(headers: Headers) -> bool:
    """Tell whether every `Sec-Fetch-Site` there is names the service's own page or nobody's."""
    return _OWN_SITES.issuperset(site.lower() for site in headers.getlist("sec-fetch-site"))


def _opens_dashboard(scope: Scope, headers: Headers) -> bool:
    """Tell whether a browser's window goes to the dashboard, by a link of anybody."""
    window = headers.get("sec-fetch-mode") == "navigate" and (
        headers.get("sec-fetch-dest") == "document"
    )
    return window and scope["method"] == "GET" and scope["path"] == _DASHBOARD


def _encoded(headers: Headers) -> bool:
    """Tell whether a body is compressed, or otherwise not as it is."""
    named = ",".join(headers.getlist("content-encoding")).split(",")
    return any(coding.strip().lower() not in {"", "identity"} for coding in named)


def _in_time(receive: Receive, seconds: float) -> Receive:
    """Bound the time an app waits for the next bytes of a body.

    The clock runs only while the app waits: a body that is read slowly, to slow its sender down, is no slow body.
    """
    arrived = False

    async def receive_in_time() -> Message:
        nonlocal arrived
        if arrived:
            return await receive()
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(
                "request_timeout",
                f"No byte of the body came for {seconds:g} seconds.",
                extras={"idle_seconds": seconds},
            ) from None
        arrived = not message.get("more_body", False)
        return message

    return receive_in_time
