"""Sessions out of a service and into one: exports and imports, without a model."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from service.errors import Conflict, Unprocessable
from service.ports import ModelInfo
from service.sessions.beginnings import Beginnings, Begun, Wish
from service.sessions.codec import encode
from service.sessions.observer import SessionObserver
from service.sessions.origins import NO_TRAITS, Beginning, SessionTraits
from service.sessions.protocol import require_model
from service.sessions.records import ChunkRecord, SessionRecord
from service.sessions.recovery import Recovery, still_known
from service.sessions.session_contents import SessionContents
from service.sessions.session_file import pack
from service.sessions.stores.base import SessionStore

PAGE: Final = 1024
"""Chunks read from the store at once."""
_CHUNK_OVERHEAD: Final = 128


class Transfers:
    """Writes sessions into files and begins sessions from them.

    Args:
        store: Where sessions live; open.
        observer: Told of every export.
        recovery: Reads states back.
        beginnings: Begins sessions.
        most_bytes: Largest file; what is larger could not be imported again.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        observer: SessionObserver,
        recovery: Recovery,
        beginnings: Beginnings,
        most_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._observer = observer
        self._recovery = recovery
        self._most_bytes = most_bytes
        self._beginnings = beginnings
        self._clock = clock

    async def export(
        self, tenant: str, session_id: str, *, answers: bool
    ) -> tuple[SessionRecord, bytes]:
        """Return a session as of one moment, and as a file.

        Args:
            tenant: Its owner.
            session_id: The session.
            answers: Whether to put the kept answers in, with which retries replay and searches find.

        Raises:
            NotFound, Gone: As `known`; `session_lost` also if the state does not verify.
            Conflict: `request_in_progress` if the session changes faster than it can be read.
            Unprocessable: `answer_too_large`: the file would be larger than any that can be imported.
        """
        record, state = await self._recovery.load(tenant, session_id)
        traits = (await self._store.traits(tenant, [session_id])).get(session_id, NO_TRAITS)
        chunks: tuple[ChunkRecord, ...] = ()
        if answers:
            chunks = await self._chunks(record)
        contents = SessionContents(
            model=record.model,
            fingerprint=record.fingerprint,
            session_id=record.id,
            next_seq=record.next_seq,
            completed=record.completed,
            indexed=traits.indexed,
            metadata=record.metadata,
            state=state,
            chunks=chunks,
        )
        data = await asyncio.to_thread(pack, contents)
        if len(data) > self._most_bytes:
            raise self._too_large()
        self._observer.event("export")
        return record, data

    async def adopt(
        self, tenant: str, model: ModelInfo, contents: SessionContents, wish: Wish
    ) -> Begun:
        """Begin a session from what a file says; durable when it returns.

        Whether its memory is one of the model's has been asked of the encoder.

        Args:
            tenant: Its owner.
            model: The model that will read on.
            contents: The session; its own id is not used.
            wish: Id, metadata and life; without metadata it has the file's.

        Raises:
            Conflict: `model_changed` with both fingerprints; `session_exists`.
            Unprocessable: `idempotency_key_reused`; `validation_error` for too long a life.
        """
        replayed = await self._beginnings.replay(tenant, wish.request)
        if replayed is not None:
            return replayed
        chosen = replace(wish, metadata=wish.metadata or contents.metadata)
        blank = self._beginnings.blank(tenant, model.id, contents.fingerprint, chosen)
        require_model(blank, model.fingerprint)
        state = encode(contents.state)
        record = replace(
            blank,
            next_seq=contents.next_seq,
            tokens=contents.state.tokens,
            state_bytes=len(state),
            completed=contents.completed,
            kept_from=contents.next_seq - len(contents.chunks),
        )
        traits = SessionTraits(indexed=contents.indexed)
        beginning = Beginning(record, state, traits, chunks=contents.chunks)
        return await self._beginnings.begin(beginning, wish.request, "import")

    async def _chunks(self, record: SessionRecord) -> tuple[ChunkRecord, ...]:
        """Return the kept chunks of a record, page by page, and none beyond what a file can hold."""
        found: list[ChunkRecord] = []
        size = 0
        after = record.kept_from
        while after < record.next_seq:
            limit = min(PAGE, record.next_seq - after)
            page = await self._store.chunks(record.tenant, record.id, after, limit)
            # A chunk that came in since the record was read belongs to a later moment.
            page = [chunk for chunk in page if chunk.seq < record.next_seq]
            if not page:
                break
            if page[0].seq != after:
                # Those between are kept no longer, so a session cannot begin with those before.
                found.clear()
            found += page
            after = page[-1].seq + 1
            size += sum(len(chunk.embedding) + _CHUNK_OVERHEAD for chunk in page)
            if size > self._most_bytes:
                raise self._too_large()
        await self._require_all(record, found)
        return tuple(found)

    async def _require_all(self, record: SessionRecord, found: list[ChunkRecord]) -> None:
        """Check that these are the chunks of this session, and all that it keeps of those it had read.

        Raises:
            NotFound, Gone: It is over since the record was read.
            Conflict: `request_in_progress`.
        """
        now = await still_known(self._store, record, self._clock())
        first = found[0].seq if found else record.next_seq
        whole = [chunk.seq for chunk in found] == list(range(first, record.next_seq))
        if not whole or first > max(now.kept_from, record.kept_from):
            raise Conflict(
                "request_in_progress", f"session {record.id} is being written to; try again"
            )

    def _too_large(self) -> Unprocessable:
        return Unprocessable(
            "answer_too_large",
            f"with its kept answers the session is larger than {self._most_bytes} bytes (limits.import_bytes): export "
            "it with answers=false, then chunks that were read are not replayed after the import",
            "answers",
            {"max_import_bytes": self._most_bytes},
        )
