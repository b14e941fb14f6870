"""A store that hands every operation to another one, and one place to do something around each."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self, TypeVar

from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores.base import Commit, SessionStore

T = TypeVar("T")


class ForwardingStore:
    """Base of stores that stand in front of another; a subclass says with `_around` what it adds.

    Args:
        store: Does the work.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def _around(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` once, or refuse to; `operation` is the name of the method of `SessionStore`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""
        return await self._around("begin", lambda: self._store.begin(beginning))

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`."""
        return await self._around("request", lambda: self._store.request(tenant, key))

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`."""
        return await self._around("traits", lambda: self._store.traits(tenant, session_ids))

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """See `SessionStore.snapshots`."""
        return await self._around("snapshots", lambda: self._store.snapshots(tenant, session_id))

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """See `SessionStore.snapshot`."""
        return await self._around("snapshot", lambda: self._store.snapshot(tenant, session_id, seq))

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        return await self._around("get", lambda: self._store.get(tenant, session_id))

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        return await self._around(
            "get_with_state", lambda: self._store.get_with_state(tenant, session_id)
        )

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        return await self._around("commit", lambda: self._store.commit(commit))

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """See `SessionStore.complete`."""
        return await self._around(
            "complete", lambda: self._store.complete(record, expected_version)
        )

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""
        return await self._around(
            "chunks", lambda: self._store.chunks(tenant, session_id, first_seq, limit)
        )

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        return await self._around("key", lambda: self._store.key(tenant, session_id, key))

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """See `SessionStore.bury`."""
        return await self._around("bury", lambda: self._store.bury(record, expected_version))

    async def quarantine(self, record: SessionRecord) -> bool:
        """See `SessionStore.quarantine`."""
        return await self._around("quarantine", lambda: self._store.quarantine(record))

    async def due(self, now: float, limit: int) -> list[tuple[str, str]]:
        """See `SessionStore.due`."""
        return await self._around("due", lambda: self._store.due(now, limit))

    async def forget(self, record: SessionRecord) -> bool:
        """See `SessionStore.forget`."""
        return await self._around("forget", lambda: self._store.forget(record))

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """See `SessionStore.list`."""
        return await self._around("list", lambda: self._store.list(tenant, after, limit))

    async def count(self, tenant: str, now: float) -> int:
        """See `SessionStore.count`."""
        return await self._around("count", lambda: self._store.count(tenant, now))

    async def ping(self) -> None:
        """See `SessionStore.ping`."""
        await self._around("ping", self._store.ping)
