"""The replica's end of a lane."""

import asyncio
import secrets
import time
from functools import partial
from typing import Any, Final, NamedTuple, Self

import structlog

from service.deployments.lane.frames import (
    BYE,
    CANCEL,
    ERROR,
    RESULT,
    UNREADABLE,
    FramedProtocol,
    listening,
)
from service.errors import InternalError, ServiceError

METHODS: Final = frozenset(
    {
        "append",
        "embed",
        "encode",
        "inspect",
        "memory",
        "ping",
        "query",
        "read",
        "revisit",
        "tokenize",
        "verify",
    }
)
"""What may be called: the port of a model, but for what tells whether Ray reaches it."""
_LEAVE_S: Final = 1.0
"""How long a gateway without running calls gets to close its end: one that is stuck never does."""
_POLL_S: Final = 0.02
log = structlog.get_logger(__name__)


class Address(NamedTuple):
    """Where a lane begins, and what to say there first."""

    name: str
    secret: bytes


class LaneServer:
    """Answers calls of gateways on this machine. Build it with `open`.

    Args:
        target: Whose methods are called.
        stop_s: Longest time that running calls get once it is told to stop.
    """

    def __init__(self, target: object, stop_s: float) -> None:
        # Without a file, so that a killed process leaves none.
        self.address = Address(f"\0longstream-{secrets.token_hex(16)}", secrets.token_bytes(32))
        self.connections: set[_Connection] = set()
        self.stopping = False
        self._stop_s = stop_s
        self._server: asyncio.AbstractServer | None = None
        self.methods = {name: getattr(target, name) for name in METHODS if hasattr(target, name)}

    @classmethod
    async def open(cls, target: object, stop_s: float) -> Self:
        """Listen.

        Raises:
            OSError: this system has no such sockets.
        """
        lane = cls(target, stop_s)
        lane._server = await asyncio.get_running_loop().create_unix_server(
            partial(_Connection, lane), sock=listening(lane.address.name)
        )
        return lane

    async def stop(self) -> None:
        """Take no new connections, say goodbye, finish what was called, close."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for one in list(self.connections):
            one.leave()
        begun = time.monotonic()
        while self.connections and (waited := time.monotonic() - begun) < self._stop_s:
            if waited > _LEAVE_S and not any(one.running for one in self.connections):
                break
            await asyncio.sleep(_POLL_S)
        for one in list(self.connections):
            one.transport.close()


class _Connection(FramedProtocol):
    """A gateway's calls.

    Args:
        lane: Whose connection it is.
    """

    def __init__(self, lane: LaneServer) -> None:
        super().__init__(lane.address.secret)
        self._lane = lane
        self.running: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        super().connection_made(transport)
        self._lane.connections.add(self)
        if self._lane.stopping:
            self.leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason makes no difference
        """Cancel what nobody waits for any more."""
        self._lane.connections.discard(self)
        for task in self.running.values():
            task.cancel()

    def leave(self) -> None:
        """Ask the gateway to close its end once it has all answers."""
        self._answer(0, BYE)

    def frame(self, number: int, what: str, *more: Any) -> None:
        """Begin a call, or cancel one."""
        if what == CANCEL:
            if number in self.running:
                self.running[number].cancel()
        elif what == UNREADABLE:
            self._answer(number, ERROR, _opaque("What was asked"))
        else:
            args, kwargs = more
            task = asyncio.create_task(self._run(number, what, args, kwargs))
            self.running[number] = task
            # Not in the task itself: one that is cancelled before its first step never runs.
            task.add_done_callback(partial(self._ended, number))

    async def _run(self, number: int, method: str, args: Any, kwargs: Any) -> None:
        try:
            result = await self._lane.methods[method](*args, **kwargs)
            self._answer(number, RESULT, result)
        except ServiceError as error:
            self._answer(number, ERROR, error)

    def _answer(self, number: int, what: str, *content: object) -> None:
        if not self.transport.is_closing():
            self.send(number, what, *content)

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        del self.running[number]
        if task.cancelled():
            # Nobody waits, unless it was cancelled by something else than its caller.
            self._answer(number, ERROR, _opaque("The call"))
        elif (error := task.exception()) is not None:
            # Its trace would be lost on the way, and not every error can be unpickled.
            log.error("call_failed", exc_info=error)
            self._answer(number, ERROR, _opaque("The call"))


def _opaque(what: str) -> InternalError:
    return InternalError("internal_error", f"{what} failed.")
