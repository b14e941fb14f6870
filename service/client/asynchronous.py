"""The asyncio client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from service.client import flows
from service.client.copy_calls import AsyncCopyCalls
from service.client.core import DEFAULT_RETRY, Action, Flow, Outcome, Pause, RetryPolicy
from service.client.duplex_async import AsyncDuplexTransport
from service.client.encoding_results import Embeddings, Model
from service.client.errors import error_of_response
from service.client.events import EventReader, StreamEvent
from service.client.results import (
    AppendResult,
    Document,
    Session,
    SessionPage,
)
from service.client.session_calls import AsyncSessionCalls
from service.client.settings import DEFAULT_TIMEOUT_S, DEFAULT_URL, STREAM_HEADERS, options
from service.client.token_calls import AsyncTokenCalls
from service.client.wire import Text, encoded_async

T = TypeVar("T")


class AsyncLongstreamClient(AsyncTokenCalls, AsyncSessionCalls, AsyncCopyCalls):
    """Talks to a longstream service from asyncio; the twin of `LongstreamClient`.

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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retry = retry
        shared = options(base_url, api_key, timeout_s)
        self._http = httpx.AsyncClient(**shared, transport=transport)
        self._duplex = httpx.AsyncClient(**shared, transport=transport or AsyncDuplexTransport())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._duplex.aclose()

    async def models(self) -> tuple[Model, ...]:
        """List the served models."""
        return await self._run(flows.models(self._retry))

    async def model(self, model_id: str) -> Model:
        """Describe one model; `NotFound` if it is not served."""
        return await self._run(flows.model(model_id, self._retry))

    async def embed(
        self, texts: Sequence[str], model: str, *, truncate: bool = False
    ) -> Embeddings:
        """Encode texts without a session; `vectors` is float32, (texts, dimensions).

        A text over the window of a model without memory is `Invalid`, unless `truncate` allows to cut it.
        """
        return await self._run(flows.embed(texts, model, self._retry, truncate=truncate))

    async def create_session(
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
        return await self._run(
            flows.create_session(
                model, session_id, metadata, self._retry, index=index, ttl_seconds=ttl_seconds
            )
        )

    async def session(self, session_id: str) -> Session:
        """Describe a session."""
        return await self._run(flows.session(session_id, self._retry))

    async def next_seq(self, session_id: str) -> int:
        """Ask which sequence number a session waits for: where an interrupted reader goes on."""
        return await self._run(flows.next_seq(session_id, self._retry))

    async def sessions(self, limit: int = 100, after: str | None = None) -> SessionPage:
        """List some of the caller's sessions, those with an id after `after`."""
        return await self._run(flows.sessions(limit, after, self._retry))

    async def iter_sessions(self, page_size: int = 100) -> AsyncIterator[Session]:
        """Yield all of the caller's sessions, page by page."""
        page = await self.sessions(page_size)
        for session in page.sessions:
            yield session
        while page.next_after is not None:
            page = await self.sessions(page_size, page.next_after)
            for session in page.sessions:
                yield session

    async def append(
        self, session_id: str, chunks: Sequence[str], first_seq: int, *, document: bool = False
    ) -> AppendResult:
        """Read chunks into a session as numbers `first_seq` and following.

        What was read before under the same numbers comes back as it was, `replayed`. `Conflict` if it was other
        text, or if `first_seq` leaves a gap. `document` asks for the running document vector too.
        """
        return await self._run(
            flows.append(session_id, chunks, first_seq, self._retry, document=document)
        )

    async def stream(
        self,
        session_id: str,
        pieces: Text | Iterable[Text] | AsyncIterator[Text],
        *,
        chunk_chars: int | None = None,
        first_seq: int | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
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
            async with self._duplex.stream(
                call.method,
                call.path,
                params=dict(call.params),
                content=encoded_async(pieces),
                headers=STREAM_HEADERS,
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise error_of_response(response)
                async for data in response.aiter_bytes():
                    for event in reader.feed(data):
                        yield event
        except httpx.RequestError as error:
            raise reader.interrupted(str(error)) from error
        reader.finish()

    async def document(self, session_id: str) -> Document:
        """Return the running document vector."""
        return await self._run(flows.document(session_id, self._retry))

    async def delete(self, session_id: str) -> None:
        """Delete a session for ever."""
        await self._run(flows.delete(session_id, self._retry))

    async def ready(self) -> bool:
        """Ask once whether the service can take work; not answering means no."""
        return await self._run(flows.ready())

    async def metrics(self) -> str:
        """Return the service's metrics in Prometheus' text format."""
        return await self._run(flows.metrics(self._retry))

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                outcome = await self._perform(flow.send(outcome))
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _perform(self, action: Action) -> Outcome:
        if isinstance(action, Pause):
            await asyncio.sleep(action.seconds)
            return None
        call = action.call
        try:
            return await self._http.request(
                call.method,
                call.path,
                params=dict(call.params),
                content=call.body,
                headers=call.headers,
            )
        except httpx.RequestError as error:
            return error
