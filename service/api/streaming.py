"""One stream: text in, events out, both at the pace of the encoder."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.answers import chunk_json
from service.api.context import RequestContext
from service.api.dependencies import refuse_while_draining
from service.api.problems import problem_body, public_error
from service.api.services import Services
from service.api.text_stream import split_stream
from service.api.vectors import to_json
from service.errors import Conflict, PreconditionFailed
from service.ports import AppendCommand, AppendResult
from service.schemas.base import EncodingFormat
from service.schemas.sessions import ReturnMember
from service.sessions.protocol import require_etag, require_incomplete
from service.sessions.records import SessionRecord

_MEMBERS: Final[tuple[ReturnMember, ...]] = ("embedding", "tokens")


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is cut and answered.

    Attributes:
        chunk_chars: Longest chunk, in code points.
        encoding: How vectors are written.
        first_seq: Number of the first chunk; None goes on where the session is.
        if_match: Entity tags of which the session must have one when the stream first changes it.
    """

    chunk_chars: int
    encoding: EncodingFormat
    first_seq: int | None
    if_match: tuple[str, ...] | None


class SessionStream:
    """Reads a body into a session, one chunk per append, so that each is answered once committed.

    With `first_seq` every chunk has a number: a stream that is sent again replays what was committed.
    Without it the session's next number is taken, and a stranger's equal chunk must not pass for a
    replay. So each append has the stream's key, which makes a retry after a dead replica safe, and
    from the second on its number and the condition that nobody has appended since the one before.

    Args:
        services: The ports.
        record: The session when the stream began.
        options: How it is cut and answered.
        scope: The request.
    """

    def __init__(
        self, services: Services, record: SessionRecord, options: StreamOptions, scope: Scope
    ) -> None:
        self._services = services
        self._encoder = services.session_encoder(record)
        self._record = record
        self._options = options
        self._scope = scope
        self._meter = RequestContext.of(scope).budget
        self._key = f"stream-{uuid.uuid4().hex}"
        self._last: AppendResult | None = None
        # Whether the client's condition is still to be checked: a replay of what was there changes nothing.
        self._untouched = True
        self._next_seq = record.next_seq
        self._chunks = 0
        self._chars = 0
        self._tokens = 0

    async def begin(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Read until there is something to answer; from then on errors are events.

        Returns:
            The lines, each as its chunk is committed.

        Raises:
            ServiceError: before anything was committed.
        """
        lines = self._lines(body)
        first = await anext(lines)
        return self._guarded(first, lines)

    async def _lines(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for text in split_stream(body, self._options.chunk_chars):
            await self._meter.pace(lambda: refuse_while_draining(self._services))
            yield self._chunk_line(text, await self._append(text))
        if self._last is None:
            await self._require_conditions()
        yield _line(
            {
                "event": "done",
                "chunks": self._chunks,
                "next_seq": self._next_seq,
                "tokens": self._tokens,
            }
        )

    async def _append(self, text: str) -> AppendResult:
        numbered = self._options.first_seq is not None
        command = AppendCommand(
            self._record.tenant,
            self._record.id,
            (text,),
            first_seq=self._seq(),
            if_match=self._condition(),
            idempotency_key=None if numbered else self._key,
            key_moves=not numbered,
        )
        try:
            result = await self._encoder.append(command)
        except PreconditionFailed as error:
            if self._untouched or self._last is None:
                raise
            raise _overtaken(self._last, error.extras.get("next_seq")) from error
        context = RequestContext.of(self._scope)
        context.times += result.times
        context.charge(sum(answer.tokens for answer in result.answers if not answer.replayed))
        self._last = result
        # A replay of what was not there when the stream began is a retry's: its replica died once it was committed.
        self._untouched = self._untouched and result.answers[0].seq < self._record.next_seq
        self._next_seq = result.next_seq
        return result

    def _seq(self) -> int | None:
        """Return the number of the next chunk, None for whatever the session expects."""
        if self._options.first_seq is not None:
            return self._options.first_seq + self._chunks
        return None if self._last is None else _following(self._last)

    def _condition(self) -> tuple[str, ...] | None:
        """Return the entity tags of which the session must have one at the next append."""
        if self._untouched or self._last is None:
            return self._options.if_match
        if self._options.first_seq is not None:
            return None
        if self._last.next_seq != _following(self._last):
            # A retry found its chunk committed and another writer's after it.
            raise _overtaken(self._last, self._last.next_seq)
        return (self._last.etag,)

    async def _require_conditions(self) -> None:
        """Check for a stream without text what its first append would have checked."""
        record = await self._services.catalog.get(self._record.tenant, self._record.id)
        first_seq = self._options.first_seq
        if first_seq is None or first_seq >= record.next_seq:
            require_incomplete(record)
        require_etag(record, self._options.if_match)
        if first_seq is not None and first_seq > record.next_seq:
            raise Conflict(
                "sequence_conflict",
                f"The session expects chunk {record.next_seq}, not {first_seq}.",
                "first_seq",
                {"expected_seq": record.next_seq, "provided_seq": first_seq},
            )
        self._next_seq = record.next_seq

    def _chunk_line(self, text: str, result: AppendResult) -> bytes:
        (answer,) = result.answers
        start, self._chars = self._chars, self._chars + len(text)
        self._chunks += 1
        self._tokens += answer.tokens
        event = chunk_json(answer, self._options.encoding, _MEMBERS)
        return _line({"event": "chunk", **event, "text_range": [start, self._chars]})

    async def _guarded(
        self, first: bytes, lines: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(lines):
            yield first
            try:
                async for line in lines:
                    yield line
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - the status is sent: only an event can still say it
                yield self._error_line(error)

    def _error_line(self, error: Exception) -> bytes:
        public = public_error(error, self._scope)
        RequestContext.of(self._scope).event_status = public.status
        # An error of an append says itself how far the session came.
        members = {"next_seq": self._next_seq, **problem_body(public, self._scope)}
        return _line({"event": "error", **members})


class NdjsonResponse(StreamingResponse):
    """Lines as they come, while the request's body is still being read by someone else."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines)
        self._lines = lines

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the lines; unlike in the base class, nobody here takes messages off `receive`."""
        async with aclosing(self._lines):
            await self.stream_response(send)


def _following(result: AppendResult) -> int:
    """Return the number after the last chunk that an append read."""
    return result.answers[-1].seq + 1


def _overtaken(last: AppendResult, next_seq: int | None) -> Conflict:
    expected = last.next_seq if next_seq is None else next_seq
    return Conflict(
        "sequence_conflict",
        "Another writer appended to this session during the stream.",
        extras={
            "expected_seq": expected,
            "provided_seq": _following(last),
            "next_seq": expected,
        },
    )


def _line(event: dict[str, Any]) -> bytes:
    return to_json(event) + b"\n"
