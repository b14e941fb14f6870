"""Events of a stream: newline-delimited JSON, read from bytes in pieces of any size."""

import json
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from service.client.errors import ProtocolError, TransportError, error_of_problem
from service.client.results import Chunk, Json


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """A chunk that was cut out of the stream, read and committed.

    Attributes:
        chunk: The answer.
        text_start: Where the chunk begins in the streamed text, in code points.
        text_end: Where it ends.
    """

    chunk: Chunk
    text_start: int
    text_end: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        text_start, text_end = body["text_range"]
        return cls(Chunk.of(body), int(text_start), int(text_end))


@dataclass(frozen=True, slots=True)
class StreamDone:
    """The end of a stream that was read completely.

    Attributes:
        chunks: Chunks of this stream.
        next_seq: Sequence number the session expects now.
        tokens: Content tokens of this stream.
    """

    chunks: int
    next_seq: int
    tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(int(body["chunks"]), int(body["next_seq"]), int(body["tokens"]))


StreamEvent: TypeAlias = StreamChunk | StreamDone


class EventReader:
    """Turns the bytes of a stream's answer into events.

    Lines end at a line feed only: other separators of Unicode may stand inside JSON strings.
    """

    def __init__(self) -> None:
        self._torn = b""
        self._next_seq: int | None = None
        self._done = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take the next bytes and return the events they complete.

        Raises:
            LongstreamError: the service reported an error; `next_seq` says how far it came.
            ProtocolError: a line is not an event.
        """
        *lines, self._torn = (self._torn + data).split(b"\n")
        return [self._event(line) for line in lines if line.strip()]

    def finish(self) -> None:
        """End the answer.

        Raises:
            TransportError: it ended before the stream was done; `next_seq` says how far it came.
        """
        if not self._done:
            raise self.interrupted("the connection ended before the stream was done")

    def interrupted(self, detail: str) -> TransportError:
        """Return the error of a stream that broke off here."""
        known = {} if self._next_seq is None else {"next_seq": self._next_seq}
        return TransportError(None, "stream_interrupted", detail, known)

    def _event(self, line: bytes) -> StreamEvent:
        try:
            body = json.loads(line)
            if body["event"] == "chunk":
                chunk = StreamChunk.of(body)
                self._next_seq = chunk.chunk.seq + 1
                return chunk
            if body["event"] == "done":
                self._done = True
                return StreamDone.of(body)
            problem = _problem(body)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ProtocolError(
                None, "unknown_event", f"not a stream event: {line[:80]!r}"
            ) from error
        raise error_of_problem(int(problem["status"]), problem)


def _problem(body: dict[str, Any]) -> dict[str, Any]:
    """Return the problem document of an error event."""
    if body["event"] != "error":
        raise ValueError(body["event"])
    return {name: value for name, value in body.items() if name != "event"} | {
        "status": int(body["status"])
    }
