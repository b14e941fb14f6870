"""The end of a connection whose client may still be sending: the last answer has to reach it first.

A socket that is closed with unread bytes resets the connection, and a client in the middle of its request then loses
the answer that says what was wrong with it (RFC 9112, 9.6). So the service's side ends first, and what comes is
dropped for a moment.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class ClosingTransport:
    """A connection's transport as uvicorn uses it, with an end in two steps.

    Args:
        socket: The transport itself.
        linger_s: How long what still comes is taken and dropped, seconds.
        expects_more: Tells whether the client may be in the middle of a request.
    """

    def __init__(
        self, socket: asyncio.Transport, linger_s: float, expects_more: Callable[[], bool]
    ) -> None:
        self._socket = socket
        self._linger_s = linger_s
        self._expects_more = expects_more
        self._clock: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        """Return what else a transport does: write, pause, tell its addresses."""
        return getattr(self._socket, name)

    def is_closing(self) -> bool:
        """Tell whether no more is answered."""
        return self._clock is not None or self._socket.is_closing()

    def close(self) -> None:
        """End this side once all is sent, and the other when the client ends it, or has had its time."""
        if self.is_closing():
            return
        if not self._expects_more():
            self._socket.close()
            return
        self._clock = asyncio.get_running_loop().call_later(self._linger_s, self._socket.close)
        self._socket.write_eof()
        self._socket.resume_reading()

    def drop(self) -> None:
        """End both sides once all is sent."""
        self.forget()
        self._socket.close()

    def forget(self) -> None:
        """Stop the clock."""
        if self._clock is not None:
            self._clock.cancel()
