"""A store that tells how long its operations take and which of them fail."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from service.sessions.stores.base import SessionStore
from service.sessions.stores.forwarding import ForwardingStore

T = TypeVar("T")


class StoreObserver(Protocol):
    """What a timed store reports; operations are named as the methods of `SessionStore`."""

    def store_operation(self, operation: str, seconds: float) -> None:
        """An operation has ended, well or not."""
        ...

    def store_error(self, operation: str) -> None:
        """An operation has raised."""
        ...


class TimedStore(ForwardingStore):
    """Passes everything on to another store.

    Args:
        store: Does the work.
        observer: Hears of each operation.
    """

    def __init__(self, store: SessionStore, observer: StoreObserver) -> None:
        super().__init__(store)
        self._observer = observer

    async def _around(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        begun = time.monotonic()
        try:
            return await work()
        except Exception:
            self._observer.store_error(operation)
            raise
        finally:
            self._observer.store_operation(operation, time.monotonic() - begun)
