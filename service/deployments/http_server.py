"""The HTTP server inside a gateway replica: uvicorn with bounds on everything a client controls."""

import asyncio
import contextlib
import socket

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 15.0
KEEP_ALIVE_SECONDS = 30
BACKLOG = 2048


class BoundedHead(H11Protocol):
    """HTTP/1.1 whose request heads must arrive within `HEAD_SECONDS` and fit into `HEAD_BYTES`.

    uvicorn bounds the size with h11 only, and the time not at all: connections that send a byte now and
    then would stay open for ever. Bodies are bounded by the application, which knows the route.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Start the clock with the first byte of a later head; stop it when a head is complete."""
        if self._head_timer is None and self.conn.their_state is h11.IDLE:
            self._await_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpServer:
    """uvicorn in the running event loop, on a socket it is handed.

    Args:
        app: The application.
        listener: Bound socket; the server closes it.
        drain_s: Longest time running requests get once the server is told to stop, seconds.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket, drain_s: float) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=BoundedHead,
                ws="none",
                h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=round(drain_s),
                backlog=BACKLOG,
                server_header=False,
                proxy_headers=False,
                access_log=False,
                log_config=None,
                # Nothing a replica's task carries may leak into the requests.
                reset_contextvars=True,
            )
        )
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections; returns once the socket listens."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.01)
        if self._task.done():
            await self._task

    @property
    def running(self) -> bool:
        """False once the server has ended, for whatever reason."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """Close the socket, let running requests finish within the drain time, and end."""
        self._server.should_exit = True
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
