"""Refusing a flood at little cost: what a full model is asked is refused before its body is parsed.

Plain ASGI, behind whoever knows the caller. A refusal that costs as much as a short forward pass takes from those who
were let in what it saves.
"""

import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import RequestContext
from service.api.problems import problem_response
from service.errors import RoundFull
from service.ports import EncoderPort

_ROUTES: Final = frozenset({"/v1/embeddings", "/v1/encode", "/v2/embed"})
"""Those whose every request needs a forward pass of the model that the body names."""
# In a string of a text, the quotes would have backslashes.
_MODEL: Final = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*"([^"\\]{1,128})"')


class SheddingApp:
    """ASGI middleware that refuses what a full model is asked.

    Args:
        app: The app.
        encoders: The served models by id.
    """

    def __init__(self, app: ASGIApp, encoders: Mapping[str, EncoderPort]) -> None:
        self._app = app
        self._encoders = {name.encode(): encoder for name, encoder in encoders.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 503."""
        full = scope["type"] == "http" and scope["path"] in _ROUTES and self._full()
        if not full or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        first = await receive()
        named = _MODEL.search(first.get("body", b""))
        refusal = full.get(named[1]) if named is not None else None
        if refusal is None:
            await self._app(scope, _again(first, receive), send)
            return
        RequestContext.of(scope).shed = True
        await problem_response(refusal, scope)(scope, receive, send)

    def _full(self) -> dict[bytes, RoundFull]:
        refusals = {name: encoder.full() for name, encoder in self._encoders.items()}
        return {name: refusal for name, refusal in refusals.items() if refusal is not None}


def _again(first: Message, receive: Receive) -> Receive:
    """Return a `receive` that begins with a message that was received."""
    waiting = [first]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
