"""The gateway's end of a lane."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from service.deployments.lane.frames import (
    BYE,
    CANCEL,
    RESULT,
    FramedProtocol,
    connected,
    supported,
)

MOST_CALLS: Final = 2000
"""In flight on a lane; Ray is told to hold back as many, those that run and those that wait."""
_GONE: Final = (RayActorError, BackPressureError, DeploymentUnavailableError)
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

    def __init__(self, find: Callable[[], Awaitable[str | None]]) -> None:
        self._find = find
        self._connection: _Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def call(self, method: str, *args: Any, **kwargs: Any) -> Awaitable[Any] | None:
        """Call a method of the replica; None where there is no lane now, and nothing was sent.

        Raises:
            BackPressureError: too many calls are in flight.
        """
        if self._connection is None or not self._connection.usable:
            self._open_soon()
            return None
        if self._connection.calls >= MOST_CALLS:
            raise BackPressureError(num_queued_requests=MOST_CALLS, max_queued_requests=MOST_CALLS)
        return self._connection.call(method, args, kwargs)

    def close(self) -> None:
        """Break it."""
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
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_unix_connection(
                    _Connection, sock=connected(address)
                )
        except (*_GONE, OSError, TimeoutError) as error:
            # On another machine, or being replaced: Ray knows the way.
            log.debug("no_lane", reason=str(error))
        finally:
            self._opening = None


class _Connection(FramedProtocol):
    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self.usable = True

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return len(self._waiting)

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

    def frame(self, number: int, what: str, *more: Any) -> None:
        """Hand an answer to who waits for it, or hear that there will be no more."""
        if what == BYE:
            self.usable = False
            self.send(0, BYE)
            return
        answer = self._waiting.pop(number, None)
        if answer is None or answer.done():
            return
        if what == RESULT:
            answer.set_result(*more)
        else:
            answer.set_exception(*more)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason makes no difference
        """Tell all who wait."""
        self.usable = False
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LaneLost())
        self._waiting.clear()
