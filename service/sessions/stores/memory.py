"""Sessions in the memory of one process: for tests and for trying things out. Not durable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.sessions.lifetimes import is_expired
from service.sessions.origins import (
    NO_TRAITS,
    Beginning,
    BeginOutcome,
    RequestRecord,
    SessionTraits,
    begun_record,
)
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores.base import Commit


@dataclass(slots=True)
class _Session:
    record: SessionRecord
    state: bytes
    chunks: dict[int, ChunkRecord] = field(default_factory=dict)
    keys: dict[str, KeyRecord] = field(default_factory=dict)
    traits: SessionTraits = NO_TRAITS
    snapshots: dict[int, bytes] = field(default_factory=dict)


class MemoryStore:
    """A `SessionStore` in a dictionary.

    No method awaits anything, so each is atomic on its event loop without a lock.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._requests: dict[tuple[str, str], RequestRecord] = {}

    async def __aenter__(self) -> Self:
        """Open the store; sessions stay as long as the object."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the store."""

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""
        record, request, source = beginning.record, beginning.request, beginning.source
        if request is not None and (record.tenant, request.key) in self._requests:
            return "key_taken"
        parent = None if source is None else self._open(source, None)
        if source is not None and parent is None:
            return "source_gone"
        if (record.tenant, record.id) in self._sessions:
            return "id_taken"
        chunks = {chunk.seq: chunk for chunk in beginning.chunks}
        if parent is not None:
            record = begun_record(record, parent.record)
            chunks = {seq: parent.chunks[seq] for seq in range(record.kept_from, record.next_seq)}
        self._sessions[record.tenant, record.id] = _Session(
            record, beginning.state, chunks, traits=beginning.traits
        )
        if request is not None:
            self._requests[record.tenant, request.key] = request
        return "begun"

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`."""
        return self._requests.get((tenant, key))

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`."""
        found = {name: self._sessions.get((tenant, name)) for name in session_ids}
        return {
            name: session.traits
            for name, session in found.items()
            if session is not None and session.traits != NO_TRAITS
        }

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """See `SessionStore.snapshots`."""
        session = self._sessions.get((tenant, session_id))
        return [] if session is None else sorted(session.snapshots)

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """See `SessionStore.snapshot`."""
        session = self._sessions.get((tenant, session_id))
        return None if session is None else session.snapshots.get(seq)

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        session = self._sessions.get((tenant, session_id))
        return None if session is None else session.record

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        session = self._sessions.get((tenant, session_id))
        return None if session is None else (session.record, session.state)

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        session = self._open(commit.record, commit.expected_version)
        if session is None:
            return False
        session.record = commit.record
        session.state = commit.state
        session.chunks[commit.chunk.seq] = commit.chunk
        if commit.key is not None:
            session.keys[commit.key.key] = commit.key
        for seq in [seq for seq in session.chunks if seq < commit.record.kept_from]:
            del session.chunks[seq]
        if commit.snapshots > 0:
            session.snapshots[commit.record.next_seq] = commit.state
            for seq in sorted(session.snapshots)[: -commit.snapshots]:
                del session.snapshots[seq]
        return True

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """See `SessionStore.complete`."""
        session = self._open(record, expected_version)
        if session is None:
            return False
        session.record = record
        return True

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""
        session = self._sessions.get((tenant, session_id))
        if session is None:
            return []
        kept = sorted(seq for seq in session.chunks if seq >= first_seq)
        return [session.chunks[seq] for seq in kept[:limit]]

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        session = self._sessions.get((tenant, session_id))
        return None if session is None else session.keys.get(key)

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """See `SessionStore.bury`."""
        also = "lost" if record.status == "deleted" else "open"
        session = self._open(record, expected_version, also)
        if session is None:
            return False
        session.record = record
        if record.status != "lost":
            self._sessions[record.tenant, record.id] = _Session(record, b"")
        return True

    async def quarantine(self, record: SessionRecord) -> bool:  # noqa: ARG002 - the contract's shape
        """See `SessionStore.quarantine`; values in memory are taken as they are, so there is never a reason."""
        return False

    async def due(self, now: float, limit: int) -> list[tuple[str, str]]:
        """See `SessionStore.due`."""
        records = (session.record for session in self._sessions.values())
        found = sorted(
            (record.due_at, record.tenant, record.id)
            for record in records
            if record.due_at is not None and record.due_at <= now
        )
        return [(tenant, name) for _, tenant, name in found[:limit]]

    async def forget(self, record: SessionRecord) -> bool:
        """See `SessionStore.forget`."""
        session = self._sessions.get((record.tenant, record.id))
        if session is None or (session.record.etag, session.record.status) != (
            record.etag,
            record.status,
        ):
            return False
        del self._sessions[record.tenant, record.id]
        self._requests = {
            name: request
            for name, request in self._requests.items()
            if (name[0], request.session_id) != (record.tenant, record.id)
        }
        return True

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """See `SessionStore.list`."""
        records = sorted(
            (
                session.record
                for (owner, session_id), session in self._sessions.items()
                if owner == tenant
                and session.record.status == "open"
                and (after is None or session_id > after)
            ),
            key=lambda record: record.id,
        )
        return records[:limit]

    async def count(self, tenant: str, now: float) -> int:
        """See `SessionStore.count`."""
        return sum(
            owner == tenant
            and session.record.status == "open"
            and not is_expired(session.record, now)
            for (owner, _), session in self._sessions.items()
        )

    async def ping(self) -> None:
        """See `SessionStore.ping`."""

    def _open(
        self, record: SessionRecord, version: int | None, also: str = "open"
    ) -> _Session | None:
        """Return the session if it is open or `also`, of this incarnation and at this version."""
        session = self._sessions.get((record.tenant, record.id))
        if session is None or session.record.status not in {"open", also}:
            return None
        if session.record.incarnation != record.incarnation:
            return None
        if version is not None and session.record.version != version:
            return None
        return session
