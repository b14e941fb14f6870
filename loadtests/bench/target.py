"""Where requests go: a server over HTTP."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Final, Protocol

import aiohttp
import orjson

from loadtests.bench.errors import BenchError
from loadtests.bench.generate import Request
from loadtests.bench.load import Answer
from loadtests.bench.vectors import Vectors, embeddings_in

REQUEST_S: Final = 120.0
_OPENED_AT_ONCE: Final = 16
_OK: Final = 300
_REFUSALS: Final = frozenset({429, 503})
_JSON: Final = {"Content-Type": "application/json"}


class Target(Protocol):
    """Anything that can be asked for vectors."""

    @property
    def name(self) -> str:
        """What reports call it."""

    async def send(self, request: Request) -> Answer:
        """Send one request; what goes wrong is in the answer."""

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Ask for the vectors of some texts.

        Raises:
            BenchError: they did not come.
        """


class SessionTarget(Protocol):
    """Anything that can read sessions."""

    async def open_sessions(self, sessions: Sequence[int]) -> None:
        """Begin anew: make a session for each number; requests of earlier ones can no longer be sent.

        Raises:
            BenchError: one could not be made.
        """

    async def send(self, request: Request) -> Answer:
        """Send one request; what goes wrong is in the answer."""


class HttpTarget:
    """A server that speaks OpenAI's `embeddings`, and longstream's sessions if it has any.

    Vectors are asked for as base64, as OpenAI's SDK does.

    Args:
        name: What reports call it.
        url: Where it is.
        embed_path: Its embeddings route.
        model: Model of stateless requests.
        session_model: Model of sessions.
    """

    def __init__(
        self, name: str, url: str, embed_path: str, model: str, session_model: str = ""
    ) -> None:
        self._name = name
        self._embed_path = embed_path
        self._model = model
        self._session_model = session_model
        self._url = url
        self._run = ""
        self._http = aiohttp.ClientSession(
            base_url=url,
            connector=aiohttp.TCPConnector(limit=0),  # arrivals must not queue in the client
            timeout=aiohttp.ClientTimeout(total=REQUEST_S),
        )

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name

    def with_model(self, model: str) -> "HttpTarget":
        """Return another client of the same server, whose stateless requests go to another model."""
        return HttpTarget(self._name, self._url, self._embed_path, model, self._session_model)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def open_sessions(self, sessions: Sequence[int]) -> None:
        """Begin anew: make a session for each number; requests of earlier ones can no longer be sent.

        Raises:
            BenchError: one could not be made.
        """
        self._run = uuid.uuid4().hex
        turns = asyncio.Semaphore(_OPENED_AT_ONCE)

        async def one(number: int) -> None:
            async with turns:
                await self.open_session(number)

        await asyncio.gather(*(one(number) for number in sessions))

    async def open_session(self, number: int) -> None:
        """Make one session more.

        Raises:
            BenchError: it could not be made.
        """
        body = {"model": self._session_model, "id": self.session_id(number)}
        answer = await self._post("/v1/sessions", body)
        if answer.status != "ok":
            raise BenchError(f"{self._name} opens no session: {answer.detail}")

    def session_id(self, number: int) -> str:
        """Return the name of a session on the server."""
        return f"bench-{self._run}-{number}"

    async def send(self, request: Request) -> Answer:
        """Send one request; what goes wrong is in the answer."""
        if request.session is None:
            return await self._embed(request.texts)
        if request.parent is not None:
            path = f"/v1/sessions/{self.session_id(request.parent)}/fork"
            return await self._post(path, {"id": self.session_id(request.session)})
        body = {
            "first_seq": request.first_seq,
            "chunks": request.texts,
            "encoding_format": "base64",
        }
        return await self._post(f"/v1/sessions/{self.session_id(request.session)}/chunks", body)

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Ask for the vectors of some texts, (texts, dimensions).

        Raises:
            BenchError: they did not come.
        """
        answer = await self._embed(texts)
        if answer.status != "ok":
            raise BenchError(f"{self._name} gives no vectors: {answer.detail}")
        return embeddings_in(answer.body)

    async def text(self, path: str) -> str:
        """GET something, such as `/metrics`.

        Raises:
            BenchError: it did not come.
        """
        try:
            async with self._http.get(path) as response:
                found = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BenchError(f"{self._name} does not answer {path}: {error!r}") from error
        if response.status >= _OK:
            raise BenchError(f"{self._name} answers {path} with {response.status}")
        return found

    async def _embed(self, texts: Sequence[str]) -> Answer:
        body = {"model": self._model, "input": texts, "encoding_format": "base64"}
        return await self._post(self._embed_path, body)

    async def _post(self, path: str, body: dict[str, Any]) -> Answer:
        try:
            async with self._http.post(path, data=orjson.dumps(body), headers=_JSON) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer("failed", detail=f"{path}: {error!r}")
        if response.status < _OK:
            return Answer("ok", content)
        detail = f"{path}: {response.status} {content[:200].decode(errors='replace')}"
        return Answer("refused" if response.status in _REFUSALS else "failed", content, detail)
