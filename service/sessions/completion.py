"""The end of a document: from then on a session takes no more chunks, and stays readable."""

from collections.abc import Callable
from typing import Final

from service.errors import Conflict
from service.sessions.changes import completed_record
from service.sessions.observer import SessionObserver
from service.sessions.protocol import require_etag
from service.sessions.records import SessionRecord
from service.sessions.recovery import known
from service.sessions.stores.base import SessionStore

_TRIES: Final = 8


class Completion:
    """Completes sessions; needs the store and no model.

    Args:
        store: Where sessions live; open.
        clock: Unix time, seconds.
        observer: Told of every session that is completed.
    """

    def __init__(
        self, store: SessionStore, clock: Callable[[], float], observer: SessionObserver
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer

    async def complete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> SessionRecord:
        """Take no more chunks; durable when it returns, and nothing new if it was so before.

        An append that is under way keeps what it has committed and is refused the rest.

        Args:
            tenant: The session's owner.
            session_id: The session.
            if_match: Entity tags of which it must have one, `*` for any; None for no condition. A session that is
                complete already is answered whatever it says, so that a lost answer can be asked for again.

        Returns:
            The record of the completed session.

        Raises:
            NotFound, Gone: As `known`.
            PreconditionFailed: `if_match` names only other versions.
            Conflict: `request_in_progress` if appends keep winning.
        """
        for _ in range(_TRIES):
            now = self._clock()
            record = known(await self._store.get(tenant, session_id), session_id, now)
            if record.completed:
                return record
            require_etag(record, if_match)
            following = completed_record(record, now)
            if await self._store.complete(following, expected_version=record.version):
                self._observer.event("complete")
                return following
        raise Conflict(
            "request_in_progress", f"session {session_id} is being written to; try again"
        )
