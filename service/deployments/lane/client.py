"""The gateway's end of a lane."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from service.deployments.lane.frames import (
    BYE,
    CANCEL,
    RESULT,
    UNREADABLE,
    FramedProtocol,
    connected,
    supported,
)
from service.deployments.lane.server import Address
from service.errors import InternalError

MOST_CALLS: Final = 2000
"""In flight on a lane; Ray is told to hold back as many, those that run and those that wait."""
MOST_BYTES: Final = 16 * 1024**2
"""Waiting for a replica to read: a stuck one reads nothing, and who called it may have given up and called again."""
_RETRY_S: Final = 1.0
_CONNECT_S: Final = 2.0
log = structlog.get_logger(__name__)


class LaneLost(RayActorError):
    """The replica was gone before it had answered; as Ray's own error, so that callers know one."""

    def __init__(self) -> None:
        super().__init__(error_msg="The replica closed the lane before it answered.")


class Lane:
    """The lane of one model, opened when first wanted and again when it broke.

    Args:
        find: Asks the replica, through Ray, for its address; None while it has none.
    """

    def __init__(self, find: Callable[[], Awaitable[Address | None]]) -> None:
        self._find = find
        self._connection: _Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def call(self, method: str, *args: Any, **kwargs: Any) -> Awaitable[Any] | None:
        """Call a method of the replica; None where there is no lane now, and nothing was sent.

        Raises:
            BackPressureError: too many calls, or bytes of them, are in flight; nothing was sent.
        """
        if self._connection is None or not self._connection.usable:
            self._open_soon()
            return None
        if self._connection.full:
            raise BackPressureError(num_queued_requests=MOST_CALLS, max_queued_requests=MOST_CALLS)
        return self._connection.call(method, args, kwargs)

    def close(self) -> None:
        """Break it; what is in flight is lost."""
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.transport.close()

    def _open_soon(self) -> None:
        now = time.monotonic()
        if supported() and now >= self._not_before and self._opening is None:
            self._not_before = now + _RETRY_S
            self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                address = await self._find()
                if address is None:
                    return
                _, self._connection = await asyncio.get_running_loop().create_unix_connection(
                    partial(_Connection, address.secret), sock=connected(address.name)
                )
        except Exception as error:  # noqa: BLE001 - a background task; whatever it is, there is no lane
            # On another machine, or being replaced, or of a release without lanes: Ray knows the way.
            log.debug("no_lane", reason=repr(error))
        finally:
            self._opening = None


class _Connection(FramedProtocol):
    def __init__(self, introduction: bytes) -> None:
        super().__init__()
        self._introduction = introduction
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._leaving = False

    @property
    def usable(self) -> bool:
        """Whether it takes calls."""
        return not (self._leaving or self.transport.is_closing())

    @property
    def full(self) -> bool:
        """Whether so much is in flight that it takes no more."""
        waiting = self.transport.get_write_buffer_size()
        return len(self._waiting) >= MOST_CALLS or waiting >= MOST_BYTES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the replica's secret, if it is a process of this user."""
        super().connection_made(transport)
        if not self.transport.is_closing():
            self.transport.write(self._introduction)

    def call(self, method: str, args: Any, kwargs: Any) -> Awaitable[Any]:
        """Send a call; what is returned is its answer, and cancels it where it is cancelled itself."""
        number = next(self._numbers)
        self.send(number, method, args, kwargs)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        return self._answered(number, answer)

    async def _answered(self, number: int, answer: asyncio.Future[Any]) -> Any:
        try:
            return await answer
        finally:
            if self._waiting.pop(number, None) is not None and not self.transport.is_closing():
                self.send(number, CANCEL)
                self._leave_if_done()

    def frame(self, number: int, what: str, *more: Any) -> None:
        """Hand an answer to who waits for it, or hear that there will be no more."""
        if what == BYE:
            self._leaving = True
        answer = self._waiting.pop(number, None)
        if answer is not None and not answer.done():
            if what == RESULT:
                answer.set_result(*more)
            elif what == UNREADABLE:
                answer.set_exception(InternalError("internal_error", "An answer was unreadable."))
            else:
                answer.set_exception(*more)
        self._leave_if_done()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason makes no difference
        """Tell all who wait."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LaneLost())
        self._waiting.clear()

    def _leave_if_done(self) -> None:
        if self._leaving and not self._waiting:
            self.transport.close()
