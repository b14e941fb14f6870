"""A session that shares another's past, from now on or from a state that was kept."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from service.errors import Conflict
from service.sessions.beginnings import Beginnings, Begun, Wish
from service.sessions.codec import (
    NO_MEMORY,
    CorruptState,
    StateArrays,
    UnsupportedState,
    decode,
    encode,
    unread,
)
from service.sessions.origins import NO_TRAITS, Beginning
from service.sessions.protocol import require_etag
from service.sessions.records import SessionRecord
from service.sessions.recovery import Recovery
from service.sessions.stores.base import SessionStore

_READS: Final = 2
"""One bad read may be the disk's slip."""


class Forks:
    """Forks sessions; needs the store and no model.

    Args:
        store: Where sessions live; open.
        recovery: Reads states back.
        beginnings: Begins sessions.
    """

    def __init__(
        self,
        store: SessionStore,
        recovery: Recovery,
        beginnings: Beginnings,
    ) -> None:
        self._store = store
        self._recovery = recovery
        self._beginnings = beginnings

    async def fork(
        self,
        tenant: str,
        session_id: str,
        wish: Wish,
        at_seq: int | None = None,
        if_match: tuple[str, ...] | None = None,
    ) -> Begun:
        """Begin a session that shares the past of another; durable when it returns.

        It has its own incarnation and its parent's kept answers, so that a chunk of the shared past that is sent again
        is replayed or refused as by the parent. It is open, whether the parent is complete or not, and without keys.
        Its life begins now and is as long as its parent's, if the wish says nothing else.

        Args:
            tenant: Owner of both.
            session_id: The parent.
            wish: Id, metadata and life of the fork; what it does not say is as its parent's.
            at_seq: How many chunks they share; None for all, 0 for none.
            if_match: Entity tags of which the parent must have one; `*` for any, None for no condition.

        Raises:
            NotFound, Gone, PreconditionFailed: The parent is not there, is lost, or is at another version.
            Conflict: `snapshot_not_kept` with the positions that are `available`; `session_exists`.
            Unprocessable: `idempotency_key_reused`; `validation_error` for too long a life.
        """
        replayed = await self._beginnings.replay(tenant, wish.request)
        if replayed is not None:
            return replayed
        parent, state = await self._recovery.load(tenant, session_id)
        require_etag(parent, if_match)
        position = parent.next_seq if at_seq is None else at_seq
        if position == 0:
            # What a session is before its first chunk need not be kept to be known.
            state = unread(len(state.document))
        elif position != parent.next_seq:
            state = await self._kept(parent, position)
        blob = encode(state)
        chosen = replace(wish, metadata=wish.metadata or parent.metadata)
        blank = self._beginnings.blank(tenant, parent.model, parent.fingerprint, chosen, parent)
        record = replace(blank, next_seq=position, tokens=state.tokens, state_bytes=len(blob))
        inherited = await self._store.traits(tenant, [parent.id])
        traits = replace(
            inherited.get(parent.id, NO_TRAITS), forked_from=parent.id, forked_at=position
        )
        return await self._beginnings.begin(
            Beginning(record, blob, traits, source=parent), wish.request, "fork"
        )

    async def _kept(self, parent: SessionRecord, position: int) -> StateArrays:
        """Return the state after `position` chunks; one that does not verify is as good as not kept."""
        for _ in range(_READS):
            blob = await self._store.snapshot(parent.tenant, parent.id, position)
            with suppress(CorruptState, UnsupportedState):
                state = decode(blob or b"")
                if state.shape != NO_MEMORY:
                    return state
        kept = await self._store.snapshots(parent.tenant, parent.id)
        available = sorted({0, *kept, parent.next_seq} - {position})
        raise Conflict(
            "snapshot_not_kept",
            f"what session {parent.id} was after {position} chunks is not kept; it can be forked after "
            f"{' or '.join(map(str, available))} (sessions.snapshots, sessions.snapshot_every)",
            param="at_seq",
            extras={"available": available},
        )
