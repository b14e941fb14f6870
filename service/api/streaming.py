"""One stream: text in, events out, both at the pace of the encoder."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.answers import chunk_json
from service.api.context import RequestContext
from service.api.dependencies import refuse_while_draining
from service.api.problems import problem_body
from service.api.services import Services
from service.api.text_stream import chunk_groups
from service.api.vectors import to_json
from service.errors import InternalError, ServiceError
from service.ports import AppendCommand, AppendResult
from service.schemas.base import EncodingFormat
from service.schemas.sessions import ReturnMember
from service.sessions.records import SessionRecord

_MEMBERS: Final[tuple[ReturnMember, ...]] = ("embedding", "tokens")
_log = structlog.get_logger("longstream.api")


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is cut and answered.

    Attributes:
        chunk_chars: Longest chunk, in code points.
        encoding: How vectors are written.
        first_seq: Number of the first chunk; None goes on where the session is.
        if_match: Entity tag the session must have when the stream begins.
    """

    chunk_chars: int
    encoding: EncodingFormat
    first_seq: int | None
    if_match: str | None


class SessionStream:
    """Reads a body into a session.

    Every append names its sequence numbers, so a stream that is sent again replays what was committed.

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
        self._seq = record.next_seq if options.first_seq is None else options.first_seq
        self._next_seq = record.next_seq
        self._chunks = 0
        self._chars = 0
        self._tokens = 0

    async def begin(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Read until there is something to answer; from then on errors are events.

        Returns:
            The lines, each batch as it is committed.

        Raises:
            ServiceError: before anything was committed.
        """
        lines = self._lines(body)
        first = await anext(lines)
        return self._guarded(first, lines)

    async def _lines(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for group in chunk_groups(body, self._options.chunk_chars):
            refuse_while_draining(self._services)
            result = await self._append(group)
            yield b"".join(self._chunk_lines(group, result))
        yield _line(
            {
                "event": "done",
                "chunks": self._chunks,
                "next_seq": self._next_seq,
                "tokens": self._tokens,
            }
        )

    async def _append(self, group: tuple[str, ...]) -> AppendResult:
        condition = self._options.if_match if self._chunks == 0 else None
        command = AppendCommand(
            self._record.tenant, self._record.id, group, self._seq, if_match=condition
        )
        result = await self._encoder.append(command)
        RequestContext.of(self._scope).times += result.times
        self._seq += len(group)
        self._next_seq = result.next_seq
        return result

    def _chunk_lines(self, group: tuple[str, ...], result: AppendResult) -> list[bytes]:
        lines = []
        for text, answer in zip(group, result.answers, strict=True):
            start, self._chars = self._chars, self._chars + len(text)
            self._chunks += 1
            self._tokens += answer.tokens
            event = chunk_json(answer, self._options.encoding, _MEMBERS)
            lines.append(_line({"event": "chunk", **event, "text_range": [start, self._chars]}))
        return lines

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
            except ServiceError as error:
                yield self._error_line(error)
            except Exception:  # noqa: BLE001 - the status is sent: only an event can still say it
                _log.exception("unhandled_error")
                yield self._error_line(
                    InternalError("internal_error", "An internal error; see the request id.")
                )

    def _error_line(self, error: ServiceError) -> bytes:
        RequestContext.of(self._scope).code = error.code
        # An error inside a group carries how far that group came.
        members = {"next_seq": self._next_seq, **problem_body(error, self._scope)}
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


def _line(event: dict[str, Any]) -> bytes:
    return to_json(event) + b"\n"
