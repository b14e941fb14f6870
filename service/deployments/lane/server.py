"""The replica's end of a lane."""

import asyncio
import contextlib
import secrets
from typing import Any, Final, Self

import structlog

from service.deployments.lane.frames import BYE, CANCEL, ERROR, RESULT, FramedProtocol, listening
from service.errors import InternalError, ServiceError

METHODS: Final = frozenset(
    {
        "append",
        "embed",
        "encode",
        "inspect",
        "memory",
        "query",
        "read",
        "revisit",
        "tokenize",
        "verify",
    }
)
"""What may be called: the port of a model, but for what tells whether Ray reaches it."""
log = structlog.get_logger(__name__)


class LaneServer:
    """Answers calls of gateways on this machine. Build it with `open`.

    Args:
        target: Whose methods are called.
        stop_s: Longest time that running calls get once it is told to stop.
    """

    def __init__(self, target: object, stop_s: float) -> None:
        self.address = f"\0longstream-{secrets.token_hex(16)}"
        """Of a socket that needs no file, so that a killed process leaves none."""
        self._target = target
        self._stop_s = stop_s
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_Connection] = set()

    @classmethod
    async def open(cls, target: object, stop_s: float) -> Self:
        """Listen.

        Raises:
            OSError: this system has no such sockets.
        """
        lane = cls(target, stop_s)
        loop = asyncio.get_running_loop()
        lane._server = await loop.create_unix_server(
            lambda: _Connection(target, lane._connections), sock=listening(lane.address)
        )
        return lane

    async def stop(self) -> None:
        """Take no new connections, say goodbye, finish what was called, close."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self._connections)
        for one in connections:
            one.send(0, BYE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stop_s):
                await asyncio.gather(*(one.over.wait() for one in connections))
        for one in connections:
            one.transport.close()


class _Connection(FramedProtocol):
    """A gateway's calls.

    Args:
        target: Whose methods they are.
        connections: All there are.
    """

    def __init__(self, target: object, connections: "set[_Connection]") -> None:
        super().__init__()
        self._methods = {name: getattr(target, name) for name in METHODS if hasattr(target, name)}
        self._connections = connections
        self._running: dict[int, asyncio.Task[None]] = {}
        self._bye = False
        self.over = asyncio.Event()
        """Set once the gateway calls no more and has all answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason makes no difference
        """Cancel what nobody waits for any more."""
        self._connections.discard(self)
        for task in self._running.values():
            task.cancel()
        self.over.set()

    def frame(self, number: int, what: str, *more: Any) -> None:
        """Begin a call, or cancel one."""
        if what == BYE:
            self._bye = True
            self._ended(number)
        elif what == CANCEL:
            if number in self._running:
                self._running[number].cancel()
        else:
            args, kwargs = more
            self._running[number] = asyncio.create_task(self._run(number, what, args, kwargs))

    async def _run(self, number: int, method: str, args: Any, kwargs: Any) -> None:
        try:
            result = await self._methods[method](*args, **kwargs)
            self._answer(number, RESULT, result)
        except ServiceError as error:
            self._answer(number, ERROR, error)
        except Exception:
            # Its trace would be lost on the way, and not every error can be unpickled.
            log.exception("call_failed", method=method)
            self._answer(number, ERROR, InternalError("internal_error", f"{method} failed."))
        finally:
            self._ended(number)

    def _answer(self, number: int, what: str, content: object) -> None:
        if not self.transport.is_closing():
            self.send(number, what, content)

    def _ended(self, number: int) -> None:
        self._running.pop(number, None)
        if self._bye and not self._running:
            self.over.set()
