"""One append under its session's lock: load, decide, read, commit, chunk by chunk."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.errors import Conflict, Gone, ServiceError
from service.ports import AppendCommand, AppendResult, ChunkAnswer, ModelInfo, StageTimes
from service.sessions import protocol
from service.sessions.hot import HotStates
from service.sessions.observer import SessionObserver
from service.sessions.reading import ChunkReader
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.recovery import Recovery, known
from service.sessions.state import SessionState
from service.sessions.stores.base import Commit, SessionStore

_TRIES = 8
"""Times a chunk is decided anew after another owner of the session was faster."""


@dataclass(frozen=True, slots=True)
class AppendTools:
    """What every append of a replica works with.

    Attributes:
        store: Where sessions live; open.
        reader: The model.
        info: What the model is; its fingerprint must be the session's.
        hot: States beside the store.
        kept_answers: Answers kept per session, None for all.
        clock: Unix time, seconds.
        observer: Told what happens.
        recovery: Reads states back from `store`.
    """

    store: SessionStore
    reader: ChunkReader
    info: ModelInfo
    hot: HotStates
    kept_answers: int | None
    clock: Callable[[], float]
    observer: SessionObserver
    recovery: Recovery


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
        self._record: SessionRecord | None = None
        self._held: tuple[str, SessionState] | None = None
        self._first_seq = 0
        self._kept: dict[int, ChunkRecord] = {}
        self._answers: list[ChunkAnswer] = []
        self._times = StageTimes()

    async def run(self) -> AppendResult:
        """Read every chunk; an error says with `next_seq` how far the session came.

        Raises:
            ServiceError: As `service.ports.EncoderPort.append`.
        """
        try:
            record = await self._refresh()
            for index in range(len(self._command.chunks)):
                record = await self._chunk(record, index)
            record, state = await self._current(record)
        except ServiceError as error:
            if isinstance(error, Conflict):
                self._tools.observer.event("conflict")
            if self._record is None:
                raise
            raise error.with_extras(next_seq=self._record.next_seq) from error
        return AppendResult(
            answers=tuple(self._answers),
            next_seq=record.next_seq,
            etag=record.etag,
            document=state.vector,
            times=self._times,
        )

    async def _refresh(self) -> SessionRecord:
        """Read the header, which is cheap, and what is already stored of this request."""
        command, store = self._command, self._tools.store
        began = time.perf_counter()
        record = known(await store.get(command.tenant, command.session_id), command.session_id)
        protocol.require_model(record, self._tools.info.fingerprint)
        if self._record is not None and self._record.incarnation != record.incarnation:
            raise Gone("session_deleted", f"session {record.id} was replaced meanwhile")
        self._record = record
        if not self._answers:
            # Numbers are assigned once: after the first chunk they stand, whoever writes meanwhile.
            self._first_seq = await self._place(record)
        if self._first_seq < record.next_seq:
            stored = await store.chunks(
                command.tenant, command.session_id, self._first_seq, len(command.chunks)
            )
            # A chunk that came in since the record was read is unknown until the record is read anew.
            self._kept = {chunk.seq: chunk for chunk in stored if chunk.seq < record.next_seq}
        self._count_persist(began)
        return record

    async def _place(self, record: SessionRecord) -> int:
        command = self._command
        key = None
        if command.idempotency_key is not None:
            key = await self._tools.store.key(
                command.tenant, command.session_id, command.idempotency_key
            )
        return protocol.first_seq(record, command.first_seq, key, self._request_digest)

    async def _chunk(self, record: SessionRecord, index: int) -> SessionRecord:
        for _ in range(_TRIES):
            seq = self._first_seq + index
            # Own commits move the version: the condition is about the session before the request.
            decision = protocol.decide(
                record,
                self._kept.get(seq) if self._numbered else None,
                seq,
                self._digests[index],
                self._command.if_match if self._untouched() else None,
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
        current, state = await self._current(record)
        if current.etag != record.etag:
            return None
        reading = await tools.reader.read(self._command.chunks[index], state.memory)
        self._times += reading.times
        after = state.after(reading)
        chunk = ChunkRecord(
            seq=record.next_seq,
            digest=self._digests[index],
            embedding=np.ascontiguousarray(reading.embedding, "<f4").tobytes(),
            tokens=reading.tokens,
            token_start=record.tokens,
        )
        blob = after.encode()
        following = protocol.next_record(record, reading.tokens, len(blob), tools.clock())
        if not await self._commit(record, following, blob, chunk):
            return None
        self._record, self._held = following, (following.etag, after)
        tools.hot.put(following, after)
        self._answer(chunk, replayed=False)
        tools.observer.appended(record.tokens, time.perf_counter() - began)
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
            if key is not None and not self._answers
            else None,
            forget_before=protocol.forget_before(
                following.next_seq, tools.kept_answers, self._first_seq
            ),
        )
        committed = False
        try:
            committed = await tools.store.commit(commit)
        finally:
            if not committed:
                # Whatever the store did, this copy is no longer known to be what it has.
                self._held = None
                tools.hot.drop(record.tenant, record.id)
            self._count_persist(began)
        return committed

    async def _current(self, record: SessionRecord) -> tuple[SessionRecord, SessionState]:
        """Return the state of `record`, or a newer record with its state."""
        tools = self._tools
        if self._held is not None and self._held[0] == record.etag:
            return record, self._held[1]
        state = tools.hot.get(record)
        if state is None:
            began = time.perf_counter()
            record, arrays = await tools.recovery.load(record.tenant, record.id)
            state = SessionState.from_arrays(arrays, tools.reader.empty())
            tools.hot.put(record, state)
            if record.next_seq > 0:
                tools.observer.event("recover")
            self._count_persist(began)
            self._record = record
        self._held = (record.etag, state)
        return record, state

    def _answer(self, chunk: ChunkRecord, *, replayed: bool) -> None:
        self._answers.append(
            ChunkAnswer(
                seq=chunk.seq,
                embedding=np.frombuffer(chunk.embedding, "<f4").astype(np.float32),
                tokens=chunk.tokens,
                token_start=chunk.token_start,
                replayed=replayed,
            )
        )
        self._tools.observer.event("replay" if replayed else "append")

    def _count_persist(self, began: float) -> None:
        self._times += StageTimes(persist=time.perf_counter() - began)
