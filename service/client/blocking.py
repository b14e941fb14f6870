"""The blocking client."""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from service.client import flows
from service.client.copy_calls import CopyCalls
from service.client.core import DEFAULT_RETRY, Action, Flow, Outcome, Pause, RetryPolicy
from service.client.duplex import DuplexTransport
from service.client.encoding_results import Embeddings, Model
from service.client.errors import error_of_response
from service.client.events import EventReader, StreamEvent
from service.client.results import (
    AppendResult,
    Document,
    Session,
    SessionPage,
)
from service.client.session_calls import SessionCalls
from service.client.settings import DEFAULT_TIMEOUT_S, DEFAULT_URL, STREAM_HEADERS, options
from service.client.token_calls import TokenCalls
from service.client.wire import Text, encoded

T = TypeVar("T")


class LongstreamClient(TokenCalls, SessionCalls, CopyCalls):
    """Talks to a longstream service.

    Every call that may be repeated is, until `retry.retry_for_s` seconds after it first failed: connection
    errors, timeouts and 408, 429, 502, 503, 504. All calls raise `LongstreamError` or a subclass of it; what cannot
    be sent at all is `Invalid`, with no status. A client is a context manager that closes its connections.

    Args:
        base_url: Where the service is.
        api_key: Sent as a bearer token, if given.
        retry: When to try again.
        timeout_s: Longest silence of the service within a request.
        transport: Replaces the network, e.g. by `httpx.MockTransport` in tests.

    Raises:
        Invalid: `base_url` is no URL, or no header can carry `api_key`.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        retry: RetryPolicy = DEFAULT_RETRY,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retry = retry
        shared = options(base_url, api_key, timeout_s)
        self._http = httpx.Client(**shared, transport=transport)
        self._duplex = httpx.Client(**shared, transport=transport or DuplexTransport())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        self._duplex.close()

    def models(self) -> tuple[Model, ...]:
        """List the served models."""
        return self._run(flows.models(self._retry))

    def model(self, model_id: str) -> Model:
        """Describe one model; `NotFound` if it is not served."""
        return self._run(flows.model(model_id, self._retry))

    def embed(self, texts: Sequence[str], model: str, *, truncate: bool = False) -> Embeddings:
        """Encode texts without a session; `vectors` is float32, (texts, dimensions).

        A text over the window of a model without memory is `Invalid`, unless `truncate` allows to cut it.
        """
        return self._run(flows.embed(texts, model, self._retry, truncate=truncate))

    def create_session(
        self,
        model: str,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        index: bool = False,
        ttl_seconds: int | None = None,
    ) -> Session:
        """Open a session; the client chooses an id if none is given. `Conflict` if it exists.

        With `index` `query` also finds its nearest chunks. It expires `ttl_seconds` after its last chunk; None leaves
        that to the service, which may keep it for ever.
        """
        return self._run(
            flows.create_session(
                model, session_id, metadata, self._retry, index=index, ttl_seconds=ttl_seconds
            )
        )

    def session(self, session_id: str) -> Session:
        """Describe a session."""
        return self._run(flows.session(session_id, self._retry))

    def next_seq(self, session_id: str) -> int:
        """Ask which sequence number a session waits for: where an interrupted reader goes on."""
        return self._run(flows.next_seq(session_id, self._retry))

    def sessions(self, limit: int = 100, after: str | None = None) -> SessionPage:
        """List some of the caller's sessions, those with an id after `after`."""
        return self._run(flows.sessions(limit, after, self._retry))

    def iter_sessions(self, page_size: int = 100) -> Iterator[Session]:
        """Yield all of the caller's sessions, page by page."""
        page = self.sessions(page_size)
        yield from page.sessions
        while page.next_after is not None:
            page = self.sessions(page_size, page.next_after)
            yield from page.sessions

    def append(
        self, session_id: str, chunks: Sequence[str], first_seq: int, *, document: bool = False
    ) -> AppendResult:
        """Read chunks into a session as numbers `first_seq` and following.

        What was read before under the same numbers comes back as it was, `replayed`. `Conflict` if it was other
        text, or if `first_seq` leaves a gap. `document` asks for the running document vector too.
        """
        return self._run(
            flows.append(session_id, chunks, first_seq, self._retry, document=document)
        )

    def stream(
        self,
        session_id: str,
        pieces: Text | Iterable[Text],
        *,
        chunk_chars: int | None = None,
        first_seq: int | None = None,
    ) -> Generator[StreamEvent, None, None]:
        """Send text as it comes and yield an event for each chunk the service cuts from it, then `StreamDone`.

        Never tried again by itself; closing the generator hangs up. An error's `next_seq` says how far the
        service came, if it was heard of.

        Args:
            session_id: The session.
            pieces: Text, or UTF-8 as bytes, in pieces of any size.
            chunk_chars: Longest chunk in code points; the service's default if None.
            first_seq: Number of the first chunk; makes sending the same text again a replay.
        """
        call = flows.stream_call(session_id, chunk_chars, first_seq)
        reader = EventReader()
        try:
            with self._duplex.stream(
                call.method,
                call.path,
                params=dict(call.params),
                content=encoded(pieces),
                headers=STREAM_HEADERS,
            ) as response:
                if not response.is_success:
                    response.read()
                    raise error_of_response(response)
                for data in response.iter_bytes():
                    yield from reader.feed(data)
        except httpx.RequestError as error:
            raise reader.interrupted(str(error)) from error
        reader.finish()

    def document(self, session_id: str) -> Document:
        """Return the running document vector."""
        return self._run(flows.document(session_id, self._retry))

    def delete(self, session_id: str) -> None:
        """Delete a session for ever."""
        self._run(flows.delete(session_id, self._retry))

    def ready(self) -> bool:
        """Ask once whether the service can take work; not answering means no."""
        return self._run(flows.ready())

    def metrics(self) -> str:
        """Return the service's metrics in Prometheus' text format."""
        return self._run(flows.metrics(self._retry))

    def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                outcome = self._perform(flow.send(outcome))
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _perform(self, action: Action) -> Outcome:
        if isinstance(action, Pause):
            time.sleep(action.seconds)
            return None
        call = action.call
        try:
            return self._http.request(
                call.method,
                call.path,
                params=dict(call.params),
                content=call.body,
                headers=call.headers,
            )
        except httpx.RequestError as error:
            return error
