"""A store that tells how long its operations take and which of them fail."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, Self

from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores.base import Commit, SessionStore


class StoreObserver(Protocol):
    """What a timed store reports; operations are named as the methods of `SessionStore`."""

    def store_operation(self, operation: str, seconds: float) -> None:
        """An operation has ended, well or not."""
        ...

    def store_error(self, operation: str) -> None:
        """An operation has raised."""
        ...


class TimedStore:
    """Passes everything on to another store.

    Args:
        store: Does the work.
        observer: Hears of each operation.
    """

    def __init__(self, store: SessionStore, observer: StoreObserver) -> None:
        self._store = store
        self._observer = observer

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)

    @asynccontextmanager
    async def _timed(self, operation: str) -> AsyncIterator[None]:
        begun = time.monotonic()
        try:
            yield
        except Exception:
            self._observer.store_error(operation)
            raise
        finally:
            self._observer.store_operation(operation, time.monotonic() - begun)

    async def create(self, record: SessionRecord, state: bytes) -> bool:
        """See `SessionStore.create`."""
        async with self._timed("create"):
            return await self._store.create(record, state)

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""
        async with self._timed("begin"):
            return await self._store.begin(beginning)

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`."""
        async with self._timed("request"):
            return await self._store.request(tenant, key)

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`."""
        async with self._timed("traits"):
            return await self._store.traits(tenant, session_ids)

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """See `SessionStore.snapshots`."""
        async with self._timed("snapshots"):
            return await self._store.snapshots(tenant, session_id)

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """See `SessionStore.snapshot`."""
        async with self._timed("snapshot"):
            return await self._store.snapshot(tenant, session_id, seq)

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        async with self._timed("get"):
            return await self._store.get(tenant, session_id)

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        async with self._timed("get_with_state"):
            return await self._store.get_with_state(tenant, session_id)

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        async with self._timed("commit"):
            return await self._store.commit(commit)

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """See `SessionStore.complete`."""
        async with self._timed("complete"):
            return await self._store.complete(record, expected_version)

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""
        async with self._timed("chunks"):
            return await self._store.chunks(tenant, session_id, first_seq, limit)

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        async with self._timed("key"):
            return await self._store.key(tenant, session_id, key)

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """See `SessionStore.bury`."""
        async with self._timed("bury"):
            return await self._store.bury(record, expected_version)

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """See `SessionStore.list`."""
        async with self._timed("list"):
            return await self._store.list(tenant, after, limit)

    async def ping(self) -> None:
        """See `SessionStore.ping`."""
        async with self._timed("ping"):
            await self._store.ping()
