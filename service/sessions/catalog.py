"""Control plane of sessions: what a gateway answers without a model, and without torch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.errors import Conflict, Gone, NotFound, Unprocessable
from service.ports import ModelInfo
from service.sessions.beginnings import Beginnings, Begun, RequestKey, Wish
from service.sessions.changes import tombstone
from service.sessions.codec import document_vector, encode, unread
from service.sessions.completion import Completion
from service.sessions.lifetimes import FOREVER, Lifetimes, is_expired
from service.sessions.names import SESSION_ID
from service.sessions.observer import SessionObserver, SilentObserver
from service.sessions.origins import NO_TRAITS, Beginning, SessionTraits
from service.sessions.protocol import require_etag, require_open
from service.sessions.records import SessionRecord
from service.sessions.recovery import Recovery, known, remembered
from service.sessions.stores.base import SessionStore

_DELETE_TRIES = 8


class SessionCatalog:
    """Begins, finds, lists, completes and deletes sessions.

    Args:
        store: Where sessions live; open.
        clock: Unix time, seconds.
        observer: Told of `create`, `complete`, `delete`, `forget` and `lost`.
        lifetimes: How long sessions live.
    """

    def __init__(
        self,
        store: SessionStore,
        clock: Callable[[], float] = time.time,
        observer: SessionObserver | None = None,
        lifetimes: Lifetimes = FOREVER,
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer: SessionObserver = observer or SilentObserver()
        self._recovery = Recovery(store, clock, self._observer)
        self._completion = Completion(store, clock, self._observer)
        self._beginnings = Beginnings(store, self._observer, clock, lifetimes)

    async def begin(
        self, tenant: str, model: ModelInfo, wish: Wish, traits: SessionTraits = NO_TRAITS
    ) -> Begun:
        """Begin a session that has read nothing.

        Args:
            tenant: Its owner.
            model: The model that will read it.
            wish: What its owner chose: id, metadata, life, the request's key.
            traits: What it is to be from the beginning on.

        Raises:
            Unprocessable: `model_has_no_memory`; `idempotency_key_reused`; `validation_error` for a life longer than
                there are.
            BadRequest: `invalid_request`: the id has characters an id cannot have.
            Conflict: `session_exists`, also where the id was used by a session that is gone and not yet forgotten.
            Gone: What an earlier request with the same key began is over.
        """
        replayed = await self._beginnings.replay(tenant, wish.request)
        if replayed is not None:
            return replayed
        if model.memory_bytes == 0:
            raise Unprocessable(
                "model_has_no_memory",
                f"model {model.id} keeps nothing between chunks; sessions need a model with memory",
                param="model",
            )
        blank = self._beginnings.blank(tenant, model.id, model.fingerprint, wish)
        state = encode(unread(model.dimensions))
        record = replace(blank, state_bytes=len(state))
        return await self._beginnings.begin(
            Beginning(record, state, traits), wish.request, "create"
        )

    async def replay(self, tenant: str, request: RequestKey | None) -> Begun | None:
        """Return the session that a request with this key began, None if it began none.

        Raises:
            Unprocessable: `idempotency_key_reused`: the key stands for another request.
            Gone: What it began is over.
        """
        return await self._beginnings.replay(tenant, request)

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """Return what sessions are from their beginning on, by id; those without traits are left out."""
        return await self._store.traits(tenant, session_ids)

    async def get(self, tenant: str, session_id: str) -> SessionRecord:
        """Return an open session.

        Raises:
            NotFound: `session_not_found`.
            Gone: `session_deleted`, `session_expired`, `session_lost`.
        """
        record = await self._store.get(tenant, _possible(session_id))
        return known(record, session_id, self._clock())

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """Return a tenant's open sessions by ascending id, those after `after`, at most `limit`."""
        now = self._clock()
        found: list[SessionRecord] = []
        while len(found) < limit:
            page = await self._store.list(tenant, after, limit)
            found += [record for record in page if not is_expired(record, now)]
            if len(page) < limit:
                break
            after = page[-1].id
        return found[:limit]

    async def count(self, tenant: str) -> int:
        """Return how many open sessions a tenant has."""
        return await self._store.count(tenant, self._clock())

    async def document(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, NDArray[np.float32]]:
        """Return a session and its running document vector as of one moment.

        Returns:
            The record, and float32, (d,), unit length; zeros before the first token.

        Raises:
            NotFound, Gone: As `get`; `session_lost` also if the stored state does not verify.
        """
        record, state = await self._recovery.load(tenant, _possible(session_id))
        return record, document_vector(state.document)

    async def complete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> SessionRecord:
        """Take no more chunks; see `Completion.complete`."""
        return await self._completion.complete(tenant, _possible(session_id), if_match)

    async def delete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> None:
        """End a session: state, chunks and answers go, the id stays taken for a while. A lost session is erased too.

        Args:
            tenant: Its owner.
            session_id: The session.
            if_match: Entity tags of which it must have one, `*` for any; None for no condition.

        Raises:
            NotFound: `session_not_found`.
            Gone: `session_deleted`, `session_expired`.
            PreconditionFailed: `if_match` names only other versions.
            Conflict: `request_in_progress` if appends keep winning against a conditional delete.
        """
        for _ in range(_DELETE_TRIES):
            now = self._clock()
            record = remembered(await self._found(tenant, session_id), session_id, now)
            if record.status != "lost":
                require_open(record, now)
            require_etag(record, if_match)
            grave = tombstone(record, "deleted", now)
            version = None if if_match is None else record.version
            if await self._store.bury(grave, expected_version=version):
                self._observer.event("delete")
                return
        raise Conflict(
            "request_in_progress", f"session {session_id} is being written to; try again"
        )

    async def _found(self, tenant: str, session_id: str) -> SessionRecord | None:
        """Return the record, also of a session that is found to be lost just now."""
        name = _possible(session_id)
        try:
            return await self._store.get(tenant, name)
        except Gone:
            return await self._store.get(tenant, name)


def _possible(session_id: str) -> str:
    """Answer for ids that no session can have without asking the store."""
    if not SESSION_ID.fullmatch(session_id):
        raise NotFound("session_not_found", "there is no session of that id")
    return session_id
