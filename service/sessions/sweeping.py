"""Removing what the rules on lifetimes have given up, a little at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from service.errors import Gone, ServiceError
from service.sessions.changes import tombstone
from service.sessions.lifetimes import is_expired, is_forgotten
from service.sessions.observer import SessionObserver
from service.sessions.records import SessionRecord
from service.sessions.stores.base import SessionStore

BATCH: Final = 100
"""Sessions looked at before others get a turn."""
BATCHES: Final = 100
"""Batches of one sweep; what is left waits for the next."""

log = structlog.get_logger(__name__)


class Sweeper:
    """Empties expired sessions and removes old tombstones.

    Several may sweep one store: each removal is a compare-and-set, so a session that is extended meanwhile stays, and
    each is counted once.

    Args:
        store: Where sessions live; open.
        observer: Told of every `expire` and `forget`.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        observer: SessionObserver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock

    async def sweep(self) -> int:
        """Remove what is due, at most `BATCH * BATCHES` sessions; return how many were changed.

        Raises:
            Unavailable: `store_unavailable`.
        """
        changed = 0
        for _ in range(BATCHES):
            names = await self._store.due(self._clock(), BATCH)
            done = 0
            for tenant, session_id in names:
                done += await self._look(tenant, session_id)
            changed += done
            if not done:
                break
        return changed

    @asynccontextmanager
    async def running(self, every_s: float) -> AsyncIterator[None]:
        """Sweep again and again while the context is open; a store that does not answer is asked the next time."""
        task = asyncio.create_task(self._run(every_s), name="session-sweeper")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.sweep()
            except ServiceError as error:
                log.warning("sweep_failed", reason=error.detail)
            except Exception:
                # A sweep that ends for ever would fill the disk slowly and silently.
                log.exception("sweep_failed")

    async def _look(self, tenant: str, session_id: str) -> bool:
        """Take a session one step further, if it is time; return whether that was done."""
        try:
            record = await self._store.get(tenant, session_id)
        except Gone:
            return False  # its rows do not verify, and it is in quarantine now
        return record is not None and await self._advance(record, self._clock())

    async def _advance(self, record: SessionRecord, now: float) -> bool:
        if is_forgotten(record, now):
            if not await self._store.forget(record):
                return False
            self._observer.event("forget")
            return True
        if record.status != "open" or not is_expired(record, now):
            return False
        grave = tombstone(record, "expired", now)
        if not await self._store.bury(grave, expected_version=record.version):
            return False
        self._observer.event("expire")
        return True
