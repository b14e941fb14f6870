"""A store whose rows can be believed: a session with one that does not verify is lost, and said so."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog

from service.errors import Gone, ServiceError
from service.redaction import session_hash
from service.sessions.changes import lost_record, tombstone
from service.sessions.observer import SessionObserver
from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.protocol import session_lost
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores.base import Commit, CorruptRow, SessionStore
from service.sessions.stores.forwarding import ForwardingStore

T = TypeVar("T")
log = structlog.get_logger(__name__)


class VerifiedStore(ForwardingStore):
    """Puts sessions with broken rows into quarantine, where everything is kept and nothing answered.

    Whatever names such a session raises `Gone` `session_lost` from then on, here or by its record.

    Args:
        store: Does the work.
        clock: Unix time, seconds.
        observer: Told of every session that is lost.
    """

    def __init__(
        self, store: SessionStore, clock: Callable[[], float], observer: SessionObserver
    ) -> None:
        super().__init__(store)
        self._clock = clock
        self._observer = observer

    async def _around(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - a hook
        return await work()

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""
        try:
            return await self._store.begin(beginning)
        except CorruptRow as broken:
            source = beginning.source or beginning.record
            raise await self._lost(source.tenant, source.id, broken) from broken

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`; raises `Gone` `session_lost` if nobody can say which session the key began."""
        try:
            return await self._store.request(tenant, key)
        except CorruptRow as broken:
            log.error("request_lost", row=str(broken))  # noqa: TRY400 - nothing failed but the row
            raise Gone(
                "session_lost",
                "what is stored of this Idempotency-Key did not verify: look whether its session was begun, and use "
                "another key",
            ) from broken

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`; of several sessions those that are lost are left out, as in `list`."""
        if len(session_ids) == 1:
            return await self._read(
                tenant, session_ids[0], lambda: self._store.traits(tenant, session_ids)
            )
        try:
            return await self._store.traits(tenant, session_ids)
        except CorruptRow:
            found: dict[str, SessionTraits] = {}
            for name in session_ids:
                with suppress(Gone):
                    found.update(await self.traits(tenant, [name]))
            return found

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        return await self._read(tenant, session_id, lambda: self._store.get(tenant, session_id))

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        return await self._read(
            tenant, session_id, lambda: self._store.get_with_state(tenant, session_id)
        )

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""
        return await self._read(
            tenant,
            session_id,
            lambda: self._store.chunks(tenant, session_id, first_seq, limit),
        )

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        return await self._read(
            tenant, session_id, lambda: self._store.key(tenant, session_id, key)
        )

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        try:
            return await self._store.commit(commit)
        except CorruptRow as broken:
            raise await self._lost(commit.record.tenant, commit.record.id, broken) from broken

    async def _read(self, tenant: str, session_id: str, read: Callable[[], Awaitable[T]]) -> T:
        try:
            return await read()
        except CorruptRow:
            # One bad read may be the disk's or the memory's slip; the row itself is bad if a second read is.
            try:
                return await read()
            except CorruptRow as broken:
                raise await self._lost(tenant, session_id, broken) from broken

    async def _lost(self, tenant: str, session_id: str, broken: CorruptRow) -> Gone:
        """Put the session into quarantine, and return what to tell of it."""
        now = self._clock()
        nameless = lost_record(tenant, session_id, secrets.token_hex(16), now)
        log.error("session_lost", session=session_hash(session_id), row=str(broken))
        try:
            if await self._bury(tenant, session_id, nameless, now):
                self._observer.event("lost")
        except ServiceError as error:
            # It is found broken again whenever it is asked for.
            log.warning("quarantine_failed", session=session_hash(session_id), reason=error.detail)
        return session_lost(session_id)

    async def _bury(
        self, tenant: str, session_id: str, nameless: SessionRecord, now: float
    ) -> bool:
        try:
            record = await self._store.get(tenant, session_id)
        except CorruptRow:
            return await self._store.quarantine(nameless)
        # What is broken belongs to this incarnation, at whatever version it is by now.
        return record is not None and await self._store.bury(tombstone(record, "lost", now))
