"""What both clients share when they are made."""

from typing import Any, Final

import httpx

DEFAULT_URL: Final = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S: Final = 60.0
STREAM_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}

_CONNECT_TIMEOUT_S: Final = 5.0


def options(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of `httpx.Client` and `httpx.AsyncClient`.

    The environment's proxies and certificates are left alone: an answer must not depend on a shell's history.
    """
    headers = {"User-Agent": "longstream-client"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return {
        "base_url": base_url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
        "trust_env": False,
    }
