"""One append under its session's lock: load, decide, read, commit, chunk by chunk."""

import asyncio
import time
from contextlib import suppress

import numpy as np
import structlog
from numpy.typing import NDArray

from service.errors import Conflict, InternalError, ServiceError
from service.failpoints import reach
from service.ports import AppendCommand, AppendResult, ChunkAnswer, StageTimes
from service.redaction import session_hash
from service.sessions import protocol
from service.sessions.answers import chunk_answer, chunk_record
from service.sessions.append_tools import AppendTools
from service.sessions.codec import StateArrays, document_vector
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.recovery import Expected, known, require_same, still_known
from service.sessions.state import SessionState
from service.sessions.stores.base import Commit

log = structlog.get_logger(__name__)

_TRIES = 8
"""Times a chunk is decided anew after another owner of the session was faster."""
_AFTERTHOUGHT_S = 0.25
"""Longest time to find out how far a session came whose commit has failed."""


class AppendRun:
    """One command on its way; used once.

    Args:
        tools: What to work with.
        command: What to append.
        digests: `chunk_digest` of each chunk.
    """

    def __init__(
        self, tools: AppendTools, command: AppendCommand, digests: tuple[bytes, ...]
    ) -> None:
        self._tools = tools
        self._command = command
        self._digests = digests
        self._request_digest = protocol.request_digest(digests)
        # Without a number or a key no stored chunk is this request's, whatever its content.
        self._numbered = command.first_seq is not None or command.idempotency_key is not None
        self._may_replay = self._numbered and not command.key_moves
        self._if_match = command.if_match
        self._record: SessionRecord | None = None
        # Whether the session may have moved on since `_record` was read.
        self._in_doubt = False
        self._held: tuple[str, SessionState] | None = None
        self._first_seq = 0
        self._indexed = False
        self._kept: dict[int, ChunkRecord] = {}
        self._answers: list[ChunkAnswer] = []
        self._times = StageTimes()

    async def run(self) -> AppendResult:
        """Read every chunk; an error says with `next_seq` how far the session came.

        Raises:
            ServiceError: As `service.ports.EncoderPort.append`; `InternalError` for what has no name.
        """
        document = None
        try:
            record = await self._refresh()
            for index in range(len(self._command.chunks)):
                record = await self._chunk(record, index)
            if self._command.want_document:
                record, document = await self._document(record)
        except ServiceError as error:
            if isinstance(error, Conflict):
                self._tools.observer.event("conflict")
            raise await self._placed(error) from error
        except Exception as error:
            # A bug: its text is for the log, the caller still learns how far the session came.
            log.exception("append failed", session=session_hash(self._command.session_id))
            unnamed = InternalError("internal_error", "the append failed; the cause is in the log")
            raise await self._placed(unnamed) from error
        return AppendResult(
            answers=tuple(self._answers),
            next_seq=record.next_seq,
            etag=record.etag,
            document=document,
            times=self._times,
        )

    async def _placed(self, error: ServiceError) -> ServiceError:
        """Return the error with how far the session came, where that can be told."""
        if self._in_doubt:
            self._record = None
            # The caller is to hear of the first error, not of one more, and soon also where the store hangs.
            with suppress(Exception):
                async with asyncio.timeout(_AFTERTHOUGHT_S):
                    self._record = await self._tools.store.get(
                        self._command.tenant, self._command.session_id
                    )
        return error if self._record is None else error.with_extras(next_seq=self._record.next_seq)

    async def _refresh(self) -> SessionRecord:
        """Read the header, which is cheap, and what is already stored of this request."""
        command, store = self._command, self._tools.store
        began = time.perf_counter()
        found = await store.get(command.tenant, command.session_id)
        record = known(found, command.session_id, self._tools.clock())
        if self._record is not None:
            require_same(self._record, record)
        self._record, self._in_doubt = record, False
        if self._untouched():
            # Numbers are assigned once: after the first commit they stand, whoever writes meanwhile.
            self._first_seq = await self._place(record)
            self._indexed = await self._tools.is_indexed(record.tenant, record.id)
        if self._first_seq < record.next_seq:
            self._kept = await self._stored(record)
        self._count_persist(began)
        return record

    async def _stored(self, record: SessionRecord) -> dict[int, ChunkRecord]:
        """Return the chunks under this request's numbers that `record` knows of, as far as they are kept."""
        store, first, count = self._tools.store, self._first_seq, len(self._command.chunks)
        stored = await store.chunks(record.tenant, record.id, first, count)
        # A chunk that came in since the record was read is unknown until the record is read anew.
        kept = {chunk.seq: chunk for chunk in stored if chunk.seq < record.next_seq}
        promised = range(max(first, record.kept_from), min(first + count, record.next_seq))
        if any(seq not in kept for seq in promised):
            # Gone since then: with the session, or only because later ones are kept.
            await still_known(store, record, self._tools.clock())
        return kept

    async def _place(self, record: SessionRecord) -> int:
        command = self._command
        key = None
        if command.idempotency_key is not None:
            key = await self._tools.store.key(
                command.tenant, command.session_id, command.idempotency_key
            )
        if command.key_moves:
            if key is not None and command.first_seq not in {None, key.first_seq}:
                key = None  # an earlier append's
            self._may_replay = key is not None
        first_seq = protocol.first_seq(record, command.first_seq, key, self._request_digest)
        if key is not None:
            # The condition held when the request began to commit; what it committed is no reason to refuse the rest.
            self._if_match = None
        return first_seq

    async def _chunk(self, record: SessionRecord, index: int) -> SessionRecord:
        for _ in range(_TRIES):
            seq = self._first_seq + index
            # Own commits move the version: the condition is about the session before the request.
            decision = protocol.decide(
                record,
                self._kept.get(seq) if self._may_replay else None,
                seq,
                self._digests[index],
                self._if_match if self._untouched() else None,
            )
            if isinstance(decision, protocol.Replay):
                self._answer(decision.chunk, replayed=True)
                return record
            committed = await self._apply(record, index)
            if committed is not None:
                return committed
            record = await self._refresh()
        raise Conflict(
            "request_in_progress", f"session {record.id} is being written to elsewhere; try again"
        )

    def _untouched(self) -> bool:
        """Whether this request has not committed anything yet."""
        return all(answer.replayed for answer in self._answers)

    async def _apply(self, record: SessionRecord, index: int) -> SessionRecord | None:
        """Read and commit one chunk; None if another owner of the session was faster."""
        tools = self._tools
        began = time.perf_counter()
        protocol.require_model(record, tools.info.fingerprint)
        current, state = await self._current(record)
        if current.etag != record.etag:
            return None
        reading = await tools.reader.read(self._command.chunks[index], state.memory)
        self._times += reading.times
        after = state.after(reading)
        chunk = chunk_record(record, self._digests[index], reading)
        blob = after.encode()
        now = tools.clock()
        # Somebody may have been told meanwhile that it has expired: what is over does not come back.
        protocol.require_open(record, now)
        forgotten = tools.retention.forget_before(
            record.next_seq + 1, self._first_seq, indexed=self._indexed
        )
        following = protocol.next_record(record, reading.tokens, len(blob), now, forgotten)
        if not await self._commit(record, following, blob, chunk):
            return None
        reach("append.committed")
        self._record, self._held = following, (following.etag, after)
        tools.hot.put(following, after)
        self._answer(chunk, replayed=False)
        tools.observer.appended(record.tokens, reading.tokens, time.perf_counter() - began)
        return following

    async def _commit(
        self,
        record: SessionRecord,
        following: SessionRecord,
        state: bytes,
        chunk: ChunkRecord,
    ) -> bool:
        tools, key = self._tools, self._command.idempotency_key
        began = time.perf_counter()
        commit = Commit(
            expected_version=record.version,
            record=following,
            state=state,
            chunk=chunk,
            key=KeyRecord(key, self._request_digest, self._first_seq)
            if key is not None and self._untouched()
            else None,
            snapshots=tools.retention.snapshots_at(following.next_seq),
        )
        committed = False
        try:
            reach("append.encoded")
            committed = await tools.store.commit(commit)
        finally:
            if not committed:
                # Whatever the store did, this copy is no longer known to be what it has.
                self._held, self._in_doubt = None, True
                tools.hot.drop(record.tenant, record.id)
            self._count_persist(began)
        return committed

    async def _current(self, record: SessionRecord) -> tuple[SessionRecord, SessionState]:
        """Return the state of `record`, or a newer record with its state."""
        tools = self._tools
        state = self._at_hand(record)
        if state is None:
            empty = tools.reader.empty()
            expected = Expected(tools.info.fingerprint, empty.shapes)
            record, arrays = await self._load(record, expected)
            state = SessionState.from_arrays(arrays, empty)
            tools.hot.put(record, state)
        self._held = (record.etag, state)
        return record, state

    async def _document(self, record: SessionRecord) -> tuple[SessionRecord, NDArray[np.float32]]:
        """Return the document vector of `record` or of a newer one; the sum of any model will do."""
        state = self._at_hand(record)
        if state is not None:
            return record, state.vector
        record, arrays = await self._load(record)
        return record, document_vector(arrays.document)

    def _at_hand(self, record: SessionRecord) -> SessionState | None:
        if self._held is not None and self._held[0] == record.etag:
            return self._held[1]
        return self._tools.hot.get(record)

    async def _load(
        self, record: SessionRecord, expected: Expected | None = None
    ) -> tuple[SessionRecord, StateArrays]:
        """Return the session of `record`, or what it is by now, with its state."""
        began = time.perf_counter()
        found, arrays = await self._tools.recovery.load(record.tenant, record.id, expected)
        require_same(record, found)
        if found.next_seq > 0:
            self._tools.observer.event("recover")
        self._count_persist(began)
        self._record = found
        return found, arrays

    def _answer(self, chunk: ChunkRecord, *, replayed: bool) -> None:
        self._answers.append(chunk_answer(chunk, replayed=replayed))
        self._tools.observer.event("replay" if replayed else "append")

    def _count_persist(self, began: float) -> None:
        self._times += StageTimes(persist=time.perf_counter() - began)
