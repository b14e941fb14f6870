"""The page people watch: one HTML file that reads `/metrics`, with nothing from elsewhere."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

_INLINE: Final = re.compile(rb"<(?P<kind>script|style)>(?P<text>.*?)</(?P=kind)>", re.DOTALL)


def page() -> bytes:
    """Return the page, UTF-8."""
    return files(__name__).joinpath("page.html").read_bytes()


@cache
def policy() -> str:
    """Return the page's Content-Security-Policy: its own script and style by their hashes, its own host to ask."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for found in _INLINE.finditer(page()):
        digest = base64.b64encode(hashlib.sha256(found["text"]).digest()).decode()
        hashes[found["kind"].decode()].append(f"'sha256-{digest}'")
    return "; ".join(
        [
            "default-src 'none'",
            *(f"{kind}-src {' '.join(named)}" for kind, named in hashes.items() if named),
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
