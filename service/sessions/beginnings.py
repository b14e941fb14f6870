"""Beginning a session, once: a request sent again with its `Idempotency-Key` is told of the session it began."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.errors import BadRequest, Conflict, Unprocessable
from service.sessions.lifetimes import FOREVER, Lifetimes, is_forgotten
from service.sessions.names import SESSION_ID
from service.sessions.observer import SessionEvent, SessionObserver
from service.sessions.origins import (
    NO_TRAITS,
    Beginning,
    RequestRecord,
    SessionTraits,
)
from service.sessions.records import SessionRecord
from service.sessions.recovery import known
from service.sessions.stores.base import SessionStore

RANDOM_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The `Idempotency-Key` of a request, and what the request says.

    Attributes:
        key: The client's key.
        digest: `request_digest` of operation and content.
    """

    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client may choose of a session that is to begin.

    Attributes:
        session_id: Its id; None for a random one of 128 bits.
        metadata: The client's JSON object as text; None for what the session inherits.
        request: The request's key, None without one.
        ttl_seconds: How long it may idle before it expires; None for what it inherits, or the operator's default.
    """

    session_id: str | None = None
    metadata: str | None = None
    request: RequestKey | None = None
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that a request began.

    Attributes:
        record: As it is now.
        traits: What it is from its beginning on.
        replayed: True if an earlier request with the same key began it.
    """

    record: SessionRecord
    traits: SessionTraits
    replayed: bool


def request_digest(operation: str, content: Mapping[str, Any] | bytes) -> bytes:
    """Return the SHA-256 over all that a request says.

    Args:
        operation: What it asks for, and of which session.
        content: Its JSON object, whose members may stand in any order, or its body.
    """
    if not isinstance(content, bytes):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(operation.encode() + b"\0" + content).digest()


def blank_record(
    tenant: str, model: str, fingerprint: str, wish: Wish, now: float
) -> SessionRecord:
    """Return the record of a session that has read nothing and has no state yet.

    Raises:
        BadRequest: `invalid_request`: the id has characters an id cannot have.
    """
    if wish.session_id is not None and not SESSION_ID.fullmatch(wish.session_id):
        raise BadRequest(
            "invalid_request", "id must be 1 to 128 ASCII letters, digits, _ or -", param="id"
        )
    return SessionRecord(
        tenant=tenant,
        id=wish.session_id or f"sess_{secrets.token_urlsafe(RANDOM_BYTES)}",
        incarnation=secrets.token_hex(RANDOM_BYTES),
        model=model,
        fingerprint=fingerprint,
        status="open",
        version=0,
        next_seq=0,
        tokens=0,
        created_at=now,
        updated_at=now,
        metadata=wish.metadata or "{}",
        state_bytes=0,
    )


class Beginnings:
    """Begins sessions in a store.

    Args:
        store: Where sessions live; open.
        observer: Told of every session that begins, and of `forget` where one takes the place of another.
        clock: Unix time, seconds.
        lifetimes: How long sessions live.
    """

    def __init__(
        self,
        store: SessionStore,
        observer: SessionObserver,
        clock: Callable[[], float] = time.time,
        lifetimes: Lifetimes = FOREVER,
    ) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock
        self._lifetimes = lifetimes

    def blank(
        self,
        tenant: str,
        model: str,
        fingerprint: str,
        wish: Wish,
        parent: SessionRecord | None = None,
    ) -> SessionRecord:
        """Return the record of a session that begins its life now, has read nothing and has no state yet.

        Raises:
            BadRequest: `invalid_request`: the id has characters an id cannot have.
            Unprocessable: `validation_error`: the client wants a longer life than there are.
        """
        record = blank_record(tenant, model, fingerprint, wish, self._clock())
        return self._lifetimes.begin(record, wish.ttl_seconds, parent)

    async def replay(self, tenant: str, request: RequestKey | None) -> Begun | None:
        """Return the session that a request with this key began, None if there was none.

        Comes before every check that a replay would fail.

        Raises:
            Unprocessable: `idempotency_key_reused`: the key stands for another request.
            Gone: `session_deleted`, `session_expired`, `session_lost`: what it began is over.
        """
        if request is None:
            return None
        found = await self._store.request(tenant, request.key)
        if found is None:
            return None
        record = await self._store.get(tenant, found.session_id)
        if record is None or await self._made_room(record):
            # What the key stood for is forgotten, and the key with it.
            return None
        if found.digest != request.digest:
            raise Unprocessable(
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request; every request needs its own",
                param="Idempotency-Key",
            )
        record = known(record, found.session_id, self._clock())
        traits = await self._store.traits(tenant, [record.id])
        return Begun(record, traits.get(record.id, NO_TRAITS), replayed=True)

    async def begin(
        self, beginning: Beginning, request: RequestKey | None, event: SessionEvent
    ) -> Begun:
        """Begin a session; durable when it returns.

        Args:
            beginning: The session; `beginning.request` is filled in here.
            request: The key of the request, None without one.
            event: What the observer is told if it began.

        Raises:
            Conflict: `session_exists`, also where the id was used by a session that is gone and not yet forgotten;
                `request_in_progress` if the request's key was used in this very moment.
            NotFound, Gone: The session to share the past of is not there any more.
            Unprocessable: `idempotency_key_reused`.
        """
        record = beginning.record
        if request is not None:
            kept = RequestRecord(request.key, request.digest, record.id)
            beginning = Beginning(
                record,
                beginning.state,
                beginning.traits,
                beginning.source,
                beginning.chunks,
                kept,
            )
        outcome = await self._store.begin(beginning)
        if outcome == "id_taken" and await self._is_free(record):
            outcome = await self._store.begin(beginning)
        if outcome == "begun":
            self._observer.event(event)
            return Begun(record, beginning.traits, replayed=False)
        if outcome == "key_taken":
            replayed = await self.replay(record.tenant, request)
            if replayed is not None:
                return replayed
        if outcome == "source_gone" and beginning.source is not None:
            source = beginning.source
            known(await self._store.get(source.tenant, source.id), source.id, self._clock())
        if outcome == "id_taken":
            raise Conflict(
                "session_exists",
                f"session {record.id} exists, or did not long ago; begin another",
                param="id",
            )
        raise Conflict(
            "request_in_progress", "what this request needs is being written to; try again"
        )

    async def _is_free(self, record: SessionRecord) -> bool:
        """Whether the id of `record`, which was taken, is free now."""
        old = await self._store.get(record.tenant, record.id)
        return old is None or await self._made_room(old)

    async def _made_room(self, old: SessionRecord) -> bool:
        """Remove what is left of a session that is forgotten; False if it is still remembered."""
        if not is_forgotten(old, self._clock()):
            return False
        if await self._store.forget(old):
            self._observer.event("forget")
        return True
