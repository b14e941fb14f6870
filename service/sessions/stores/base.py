"""The contract of a session store: async methods on bytes with compare-and-set; no HTTP, no tensors.

Every backend passes `tests/service/sessions/stores/test_contract.py` and the agreement machine
beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord


class CorruptRow(Exception):
    """A stored row is not what was written: nothing of its session may be believed. The message says which row."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One append's effect; a store applies all of it or none of it.

    Attributes:
        expected_version: Version the stored record must have, with `record.incarnation`.
        record: The record afterwards, with `version == expected_version + 1`. Chunks before its `kept_from` go,
            keys stay.
        state: The encoded state afterwards.
        chunk: The chunk and its answer, with `seq == record.next_seq - 1`.
        key: The idempotency key of the request, only on the request's first commit.
        snapshots: If positive, `state` is also kept as the snapshot after `record.next_seq` chunks, and of all the
            session's snapshots only that many newest stay. 0 changes no snapshot.
    """

    expected_version: int
    record: SessionRecord
    state: bytes
    chunk: ChunkRecord
    key: KeyRecord | None = None
    snapshots: int = 0

    def __post_init__(self) -> None:
        if self.record.version != self.expected_version + 1:
            raise ValueError("a commit moves the version by exactly one")
        if self.chunk.seq != self.record.next_seq - 1:
            raise ValueError("a commit adds exactly the chunk before the record's next_seq")
        if self.record.kept_from > self.chunk.seq:
            raise ValueError("a commit keeps exactly what it adds")


def require_whole(
    found: Sequence[ChunkRecord], record: SessionRecord, first_seq: int, limit: int
) -> None:
    """Check that chunks found from `first_seq` on are all there should be: a damaged number hides its row.

    Args:
        found: In the order of the store.
        record: The session as of the same moment.
        first_seq: Least sequence number that was asked for.
        limit: Most chunks that were asked for.

    Raises:
        CorruptRow: A chunk is missing, or stands where none can be.
    """
    first = max(first_seq, record.kept_from)
    if [chunk.seq for chunk in found] != list(range(first, min(first + limit, record.next_seq))):
        raise CorruptRow(f"chunks from {first_seq} on")


class SessionStore(Protocol):
    """Durable sessions.

    A write that returned is durable. Every method may raise `Unavailable("store_unavailable")` when
    the backend does not answer and `OutOfStorage` when it has no room. A write that raised, or whose
    caller was cancelled, has happened completely or not at all: read the record to learn which.

    Rows are checked when they are read: every method that names a session may raise `CorruptRow`. `stores.verified`
    turns that into a lost session, so callers above it never meet it. No method looks at a clock.
    """

    async def __aenter__(self) -> Self:
        """Open the store, creating what is missing."""
        ...

    async def __aexit__(self, *exc: object) -> None:
        """Close the store."""
        ...

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """Insert a session with all that comes with it.

        `key_taken` if the tenant has used the request's key for a session that is not forgotten, also for one that is
        over; `source_gone` if the source is not open or of another incarnation; `id_taken` if (tenant, id) is known,
        tombstones included. What does not verify is the source's.
        """
        ...

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """Return what the key of a request that began a session stands for, or None; it is forgotten with the session.

        Raises `CorruptRow` if that cannot be told.
        """
        ...

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """Return the traits of open and lost sessions by id, without those that have none or are unknown."""
        ...

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """Return after how many chunks a snapshot is kept, ascending; one that does not verify is not."""
        ...

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """Return the state that was kept after `seq` chunks; None where there is none, or it does not verify."""
        ...

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """Return the record, tombstones included, or None."""
        ...

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """Return record and state as of one moment; a deleted session's state is empty."""
        ...

    async def commit(self, commit: Commit) -> bool:
        """Apply a commit durably; False and no change if version, incarnation or status differ."""
        ...

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """Replace an open session's record by `record`, which says that its document is complete, durably.

        State, chunks and keys stay. False and no change if version, incarnation or status differ.
        """
        ...

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """Return kept chunks with `seq >= first_seq` in order, at most `limit`."""
        ...

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """Return what an idempotency key stands for, or None."""
        ...

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """Replace an open session by `record`, a tombstone with the same incarnation.

        A lost session can be buried once more, as `deleted`. State, chunks, keys, snapshots and traits go with a
        `deleted` or `expired` session and stay with a `lost` one; the key of the request that began it stays with all.
        False and no change if the session is anything else, is of another incarnation, or is at another version than
        `expected_version` where that is given.
        """
        ...

    async def quarantine(self, record: SessionRecord) -> bool:
        """Let `record`, which is lost, stand for a session whose stored record does not verify.

        Everything stays where it is; from then on `get` returns a lost record with this incarnation, until it is
        buried as `deleted`. False and no change if the stored record verifies, or there is none.
        """
        ...

    async def due(self, now: float, limit: int) -> list[tuple[str, str]]:
        """Return tenant and id of sessions whose `due_at` is `now` or before: at most `limit`, none if there is none.

        A session whose record does not verify may be among them.
        """
        ...

    async def forget(self, record: SessionRecord) -> bool:
        """Remove all that is stored of a session, and the key that began it; id and key are free again.

        False and no change unless the stored record has the same incarnation, version and status.
        """
        ...

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """Return a tenant's open sessions by ascending id, those after `after`, at most `limit`.

        Fewer mean that there are no more. Records that do not verify are left out: who asks for one by its id is told.
        """
        ...

    async def count(self, tenant: str, now: float) -> int:
        """Return how many of a tenant's sessions are open and have not expired at `now`, without reading them.

        Those that do not verify count until they are found to be lost.
        """
        ...

    async def ping(self) -> None:
        """Do a durable round trip."""
        ...
