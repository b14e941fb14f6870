"""How many bytes of answers a process holds at once: an answer that its client does not take stays in memory.

Plain ASGI, around the routes: what a request holds of the process's room, its body and then its answer, is given back
once the server has taken the last byte of the answer, which a server does at the pace of its client.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.body_room import BodyRoom, Share
from service.api.problems import problem_response
from service.errors import Unavailable

SMALL_BYTES: Final = 64 * 1024
"""Up to this size an answer is not counted."""
_READING: Final = frozenset({"GET", "HEAD"})
_SESSIONS: Final = "/v1/sessions"


class AnswerRoomApp:
    """ASGI middleware that gives each request its share of a room.

    Args:
        app: The app.
        room: Where bodies and answers are counted.
    """

    def __init__(self, app: ASGIApp, room: BodyRoom) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; 503 stands for a large answer without room, if asking again does no harm."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._room.share() as share:
            share.attach(scope)
            await self._app(scope, receive, _counted(share, scope, receive, send))


def _counted(share: Share, scope: Scope, receive: Receive, send: Send) -> Send:
    """Hold back the head of an answer until its size is known, and count it if it is large."""
    start: Message | None = None

    async def send_counted(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        size = len(message.get("body", b""))
        if size > SMALL_BYTES:
            whole = start is not None and not message.get("more_body", False)
            try:
                share.take(size, force=not (whole and _repeatable(scope)))
            except Unavailable as refusal:
                await problem_response(refusal, scope)(scope, receive, send)
                return
        if start is not None:
            await send(start)
            start = None
        await send(message)

    return send_counted


def _repeatable(scope: Scope) -> bool:
    """Tell whether a request changed nothing: a 503 after a change would invite it a second time."""
    return scope["method"] in _READING or not scope["path"].startswith(_SESSIONS)
