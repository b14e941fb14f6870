"""Large answers in pieces: uvicorn hands over at once whatever one message holds, and only waits before the next."""

from collections.abc import Callable
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PIECE_BYTES: Final = 64 * 1024
"""What a connection buffers before it says that its client should read first."""


class Clock(Protocol):
    """What ends a connection unless it is stopped in time."""

    def cancel(self) -> None:
        """Stop it."""


async def in_pieces(
    app: ASGIApp, deadline: Callable[[int], Clock], scope: Scope, receive: Receive, send: Send
) -> None:
    """Run an ASGI app whose `send` returns when the client has taken all of a large message but the last pieces.

    Args:
        app: The app.
        deadline: Starts the clock of a large message by its size, bytes.
        scope: The request.
        receive: As in ASGI.
        send: As in ASGI; waits while the connection is full.
    """

    async def send_in_pieces(message: Message) -> None:
        body = message.get("body", b"")
        size = len(body)
        if size <= PIECE_BYTES:
            await send(message)
            return
        clock = deadline(size)
        try:
            for begin in range(0, size, PIECE_BYTES):
                end = begin + PIECE_BYTES
                more = end < size or message.get("more_body", False)
                await send({**message, "body": body[begin:end], "more_body": more})
        finally:
            clock.cancel()

    await app(scope, receive, send_in_pieces)
