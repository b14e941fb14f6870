"""What both clients share when they are made."""

from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from service.client.errors import invalid

DEFAULT_URL: Final = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S: Final = 60.0
STREAM_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}

_CONNECT_TIMEOUT_S: Final = 5.0
_LONGEST_LABEL: Final = 63


def options(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of `httpx.Client` and `httpx.AsyncClient`.

    The environment's proxies and certificates are left alone: an answer must not depend on a shell's history.

    Raises:
        Invalid: the URL is none, or no header can carry the key.
    """
    headers = {"User-Agent": "longstream-client"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {_printable(api_key)}"
    return {
        "base_url": _checked(base_url),
        "headers": headers,
        "timeout": httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
        "trust_env": False,
    }


def _checked(base_url: str) -> httpx.URL:
    if "@" in str(base_url):
        # Nor is it repeated: messages end up in logs.
        raise invalid(
            "a user or a password in the URL would replace the API key: use api_key (an @ in a path is %40)"
        )
    try:
        # httpx takes a bracket that is never closed, and any number as a port.
        port = urlsplit(base_url).port
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, AttributeError, TypeError, ValueError) as error:
        raise invalid(f"{base_url!r} is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or port == 0 or not _is_host(url.raw_host):
        raise invalid(f"{base_url!r} is no URL of a service; one is {DEFAULT_URL}")
    return url


def _is_host(name: bytes) -> bool:
    """Tell whether a name can be looked up: each label has at most 63 bytes, and the whole is not empty."""
    labels = name.removesuffix(b".").split(b".")
    return all(0 < len(label) <= _LONGEST_LABEL for label in labels)


def _printable(api_key: str) -> str:
    # The key itself stays out of the message: messages end up in logs.
    if not (api_key.isascii() and api_key.isprintable()):
        raise invalid("the API key has characters that no header can carry")
    return api_key
