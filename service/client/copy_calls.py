"""What both clients do with sessions beside reading into them: forks, files, states that the caller keeps."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from service.client import copy_flows
from service.client.copy_results import MemoryDescription, StatelessResult, StatelessState
from service.client.core import Flow, RetryPolicy
from service.client.results import Session

T = TypeVar("T")


class CopyCalls(ABC):
    """The blocking calls."""

    _retry: RetryPolicy

    @abstractmethod
    def _run(self, flow: Flow[T]) -> T:
        """Perform a flow."""

    def fork(
        self,
        session_id: str,
        new_id: str | None = None,
        *,
        at_seq: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_seconds: int | None = None,
    ) -> Session:
        """Begin a session that shares the past of another: all of it, or its first `at_seq` chunks.

        It expires `ttl_seconds` after its last chunk, by default as the other does.
        `Conflict` if the state after so many chunks is not kept; `problem["available"]` says after how many it is.
        """
        flow = copy_flows.fork(
            session_id, new_id, at_seq, metadata, self._retry, ttl_seconds=ttl_seconds
        )
        return self._run(flow)

    def export_session(self, session_id: str, *, answers: bool = True) -> bytes:
        """Return a session as a safetensors file; with its answers, so that chunks can be replayed after an import."""
        return self._run(copy_flows.export_session(session_id, self._retry, answers=answers))

    def import_session(
        self, data: bytes, session_id: str | None = None, *, ttl_seconds: int | None = None
    ) -> Session:
        """Begin a session from a file of `export_session`; it goes on as the exported one would have.

        It expires `ttl_seconds` after its last chunk; None leaves that to the service.
        `Invalid` if the file is damaged or none, `Conflict` if it is of another version of the model.
        """
        return self._run(
            copy_flows.import_session(data, session_id, self._retry, ttl_seconds=ttl_seconds)
        )

    def begin_stateless(self, model: str) -> StatelessState:
        """Begin a session that the service does not store: its state is yours to keep."""
        return self._run(copy_flows.begin_stateless(model, self._retry))

    def append_stateless(
        self, token: str, chunks: Sequence[str], *, document: bool = False
    ) -> StatelessResult:
        """Read chunks into the state of a token; `result.state.token` is the next one.

        `Invalid` if the token is too old or not the caller's.
        """
        flow = copy_flows.append_stateless(token, chunks, self._retry, document=document)
        return self._run(flow)

    def memory(self, session_id: str) -> MemoryDescription:
        """Describe what a session's memory holds: norms, ranks, saturation, gates."""
        return self._run(copy_flows.memory(session_id, self._retry))


class AsyncCopyCalls(ABC):
    """The same calls, from asyncio."""

    _retry: RetryPolicy

    @abstractmethod
    async def _run(self, flow: Flow[T]) -> T:
        """Perform a flow."""

    async def fork(
        self,
        session_id: str,
        new_id: str | None = None,
        *,
        at_seq: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_seconds: int | None = None,
    ) -> Session:
        """Begin a session that shares the past of another: all of it, or its first `at_seq` chunks.

        It expires `ttl_seconds` after its last chunk, by default as the other does.
        `Conflict` if the state after so many chunks is not kept; `problem["available"]` says after how many it is.
        """
        flow = copy_flows.fork(
            session_id, new_id, at_seq, metadata, self._retry, ttl_seconds=ttl_seconds
        )
        return await self._run(flow)

    async def export_session(self, session_id: str, *, answers: bool = True) -> bytes:
        """Return a session as a safetensors file; with its answers, so that chunks can be replayed after an import."""
        return await self._run(copy_flows.export_session(session_id, self._retry, answers=answers))

    async def import_session(
        self, data: bytes, session_id: str | None = None, *, ttl_seconds: int | None = None
    ) -> Session:
        """Begin a session from a file of `export_session`; it goes on as the exported one would have.

        It expires `ttl_seconds` after its last chunk; None leaves that to the service.
        `Invalid` if the file is damaged or none, `Conflict` if it is of another version of the model.
        """
        return await self._run(
            copy_flows.import_session(data, session_id, self._retry, ttl_seconds=ttl_seconds)
        )

    async def begin_stateless(self, model: str) -> StatelessState:
        """Begin a session that the service does not store: its state is yours to keep."""
        return await self._run(copy_flows.begin_stateless(model, self._retry))

    async def append_stateless(
        self, token: str, chunks: Sequence[str], *, document: bool = False
    ) -> StatelessResult:
        """Read chunks into the state of a token; `result.state.token` is the next one.

        `Invalid` if the token is too old or not the caller's.
        """
        flow = copy_flows.append_stateless(token, chunks, self._retry, document=document)
        return await self._run(flow)

    async def memory(self, session_id: str) -> MemoryDescription:
        """Describe what a session's memory holds: norms, ranks, saturation, gates."""
        return await self._run(copy_flows.memory(session_id, self._retry))
