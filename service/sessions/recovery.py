"""Reading a session back: what does not verify twice is lost and said so, never guessed."""

from collections.abc import Callable
from dataclasses import dataclass

from service.errors import Conflict, Gone, NotFound, Unavailable
from service.failpoints import reach
from service.sessions.codec import (
    NO_MEMORY,
    CorruptState,
    MemoryShape,
    StateArrays,
    UnsupportedState,
    decode,
)
from service.sessions.lifetimes import is_forgotten
from service.sessions.observer import SessionObserver
from service.sessions.protocol import require_open, tombstone
from service.sessions.records import SessionRecord
from service.sessions.stores.base import SessionStore

_TRIES = 4


@dataclass(frozen=True, slots=True)
class Expected:
    """What the memory of a session is like that a model began.

    Attributes:
        fingerprint: The model's.
        shape: Of its memory once it has read.
    """

    fingerprint: str
    shape: MemoryShape


def remembered(record: SessionRecord | None, session_id: str, now: float) -> SessionRecord:
    """Return a session's record, open or a tombstone.

    Raises:
        NotFound: `session_not_found`; also where the session is another tenant's, and once its tombstone is old.
    """
    if record is None or is_forgotten(record, now):
        raise NotFound("session_not_found", f"there is no session {session_id}")
    return record


def known(record: SessionRecord | None, session_id: str, now: float) -> SessionRecord:
    """Return the record of a session that is open at `now`.

    Raises:
        NotFound: As `remembered`.
        Gone: `session_deleted`, `session_expired` or `session_lost`.
    """
    found = remembered(record, session_id, now)
    require_open(found, now)
    return found


async def still_known(store: SessionStore, record: SessionRecord, now: float) -> SessionRecord:
    """Return the session of `record` as it is by now.

    Raises:
        NotFound, Gone: As `known`; `session_deleted` also where another session has its id.
    """
    found = known(await store.get(record.tenant, record.id), record.id, now)
    require_same(record, found)
    return found


def require_same(record: SessionRecord, found: SessionRecord) -> None:
    """Refuse to go on with another session of the same id.

    Raises:
        Gone: `session_deleted`.
    """
    if found.incarnation != record.incarnation:
        raise Gone("session_deleted", f"session {record.id} was replaced meanwhile")


class Recovery:
    """Loads and verifies stored states, and puts what is broken into quarantine.

    Args:
        store: Where sessions live.
        clock: Unix time, seconds.
        observer: Told of every session that is lost.
    """

    def __init__(
        self,
        store: SessionStore,
        clock: Callable[[], float],
        observer: SessionObserver,
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer

    async def load(
        self, tenant: str, session_id: str, expected: Expected | None = None
    ) -> tuple[SessionRecord, StateArrays]:
        """Return record and state as of one moment.

        Args:
            tenant: Owner of the session.
            session_id: The session.
            expected: What the caller's model writes; checked if it is the one that began the session, which may be
                another one than the caller has seen under this id.

        Raises:
            NotFound, Gone: As `known`; `session_lost` also if the state does not verify.
            Unavailable: `store_unavailable`, also if another release wrote the state.
            Conflict: `request_in_progress` if the session changes faster than it can be judged.
        """
        suspect = None
        for _ in range(_TRIES):
            row = await self._store.get_with_state(tenant, session_id)
            record = known(row and row[0], session_id, self._clock())
            try:
                arrays = _verified(record, row[1] if row else b"", expected)
                reach("recovery.load")
                return record, arrays  # noqa: TRY300 - the one way out of the loop
            except CorruptState:
                # One bad read may be the disk's or the memory's slip; the row itself is bad if a
                # second read of the same version is.
                if suspect == record.etag:
                    await self._bury(record)
                suspect = record.etag
            except UnsupportedState as error:
                raise Unavailable(
                    "store_unavailable",
                    f"session {session_id} was written by another release: {error}",
                ) from error
        raise Conflict(
            "request_in_progress", f"session {session_id} is being written to; try again"
        )

    async def _bury(self, record: SessionRecord) -> None:
        """Quarantine what was judged, and only that: another owner may have moved on meanwhile."""
        grave = tombstone(record, "lost", self._clock())
        if await self._store.bury(grave, expected_version=record.version):
            self._observer.event("lost")


def _verified(record: SessionRecord, blob: bytes, expected: Expected | None) -> StateArrays:
    state = decode(blob)
    if state.tokens != record.tokens:
        raise CorruptState("state and record disagree on the tokens read")
    # An empty memory is right before the first chunk, and never again.
    if record.next_seq == 0:
        fits = state.shape == NO_MEMORY
    else:
        fits = state.shape != NO_MEMORY
        if expected is not None and expected.fingerprint == record.fingerprint:
            fits = state.shape == expected.shape
    if not fits:
        raise CorruptState(f"a memory of shape {state.shape} after {record.next_seq} chunks")
    return state
