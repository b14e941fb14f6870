"""The HTTP server inside a gateway replica: uvicorn with bounds on everything a client controls."""

import asyncio
import contextlib
import socket
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from service.config_access import EdgeConfig
from service.deployments.http_protocol import GuardedHttp

KEEP_ALIVE_SECONDS = 30
BACKLOG = 2048


class HttpServer:
    """uvicorn in the running event loop, on a socket it is handed.

    Args:
        app: The application.
        listener: Bound socket; the server closes it.
        drain_s: Longest time running requests get once the server is told to stop, seconds.
        edge: What a connection may do.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        drain_s: float,
        edge: EdgeConfig | None = None,
    ) -> None:
        edge = edge or EdgeConfig()
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=partial(GuardedHttp, edge, {}),  # type: ignore[arg-type] # it is only ever called
                ws="none",
                h11_max_incomplete_event_size=edge.head_bytes,
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
