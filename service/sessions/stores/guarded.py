"""A store that is not waited for in vain: every operation has its time, and one that does not answer is left alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import structlog

from service.errors import Unavailable
from service.sessions.origins import Beginning, BeginOutcome
from service.sessions.stores.base import SessionStore
from service.sessions.stores.breaker import CircuitBreaker, Refused
from service.sessions.stores.forwarding import ForwardingStore

OPERATION_SECONDS: Final = 2.0
"""Longest time a caller waits for one operation."""
CHUNK_SECONDS: Final = 0.001
"""How much longer for each chunk that comes along with a session; measured, a store takes a tenth of that."""
COPYING_SECONDS: Final = 30.0
"""How much longer at most, however many come along."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


class CircuitObserver(Protocol):
    """Hears whether the store is being asked."""

    def store_circuit(self, *, is_open: bool) -> None:
        """The circuit has opened, or has closed again."""
        ...


class GuardedStore(ForwardingStore):
    """Bounds what waits for another store, and fails at once while that does not answer.

    Args:
        store: Does the work.
        observer: Hears when the circuit opens and closes.
        seconds: Longest time of one operation.
        breaker: Decides when to ask.
        clock: Monotonic time, seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        observer: CircuitObserver,
        seconds: float = OPERATION_SECONDS,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store)
        self._observer = observer
        self._seconds = seconds
        self._breaker = breaker or CircuitBreaker()
        self._clock = clock
        self._was_open = False

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`; a long past may take its time to be copied."""
        seconds = self._seconds + min(CHUNK_SECONDS * _copied(beginning), COPYING_SECONDS)
        return await self._within(seconds, "begin", lambda: self._store.begin(beginning))

    async def _around(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        return await self._within(self._seconds, operation, work)

    async def _within(self, seconds: float, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        refused = self._breaker.ask(self._clock())
        if refused is not None:
            raise _unavailable(refused)
        try:
            async with asyncio.timeout(seconds):
                result = await work()
        except TimeoutError as error:
            self._failed(operation, silent=True)
            raise Unavailable(
                "store_unavailable",
                f"the session store did not answer within {seconds:g} seconds",
            ) from error
        except Unavailable:
            self._failed(operation)
            raise
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception:
            # Whatever it says, it answered.
            self._answered()
            raise
        self._answered()
        return result

    def _failed(self, operation: str, *, silent: bool = False) -> None:
        now = self._clock()
        self._breaker.failed(now, silent=silent)
        if not self._was_open and self._breaker.state(now) == "open":
            self._was_open = True
            self._observer.store_circuit(is_open=True)
            log.error("store_circuit_opened", operation=operation)

    def _answered(self) -> None:
        self._breaker.succeeded()
        if self._was_open:
            self._was_open = False
            self._observer.store_circuit(is_open=False)
            log.warning("store_circuit_closed")


def _copied(beginning: Beginning) -> int:
    """Return how many chunks are written: what a source no longer keeps does not come along, however long it is."""
    record, source = beginning.record, beginning.source
    kept_from = record.kept_from if source is None else max(record.kept_from, source.kept_from)
    return max(0, record.next_seq - kept_from)


def _unavailable(refused: Refused) -> Unavailable:
    return Unavailable(
        "store_unavailable",
        "the session store has not answered for a while and is not asked now; nothing was stored",
        extras={"retry_after_s": refused.retry_after_s},
    )
