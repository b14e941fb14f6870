"""What both clients ask of a session that has been read: to be complete, a second look, questions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from service.client import session_flows
from service.client.core import Flow, RetryPolicy
from service.client.results import Session
from service.client.session_results import QueryResult, SecondLook

T = TypeVar("T")


class SessionCalls(ABC):
    """The blocking calls."""

    _retry: RetryPolicy

    @abstractmethod
    def _run(self, flow: Flow[T]) -> T:
        """Perform a flow."""

    def complete(self, session_id: str) -> Session:
        """Let a session take no more chunks, for ever; it stays readable. `append` is then a `Conflict`."""
        return self._run(session_flows.complete(session_id, self._retry))

    def second_look(self, session_id: str, chunks: Sequence[str], first_seq: int) -> SecondLook:
        """Complete a session and encode chunks of it again, now against the memory of the whole document.

        `Conflict` if a text is not the one that was appended under its number. May be called for other chunks after.
        """
        return self._run(session_flows.second_look(session_id, chunks, first_seq, self._retry))

    def query(self, session_id: str, texts: Sequence[str], top_k: int | None = None) -> QueryResult:
        """Ask a session: the vector of each question, and what the session remembers for it; nothing is written.

        The vectors are those of `embed`, so one index serves all sessions. A question over the window is `Invalid`. A
        session with an index also finds its `top_k` nearest chunks, 10 unless it is said.
        """
        return self._run(session_flows.query(session_id, texts, top_k, self._retry))


class AsyncSessionCalls(ABC):
    """The same calls, from asyncio."""

    _retry: RetryPolicy

    @abstractmethod
    async def _run(self, flow: Flow[T]) -> T:
        """Perform a flow."""

    async def complete(self, session_id: str) -> Session:
        """Let a session take no more chunks, for ever; it stays readable. `append` is then a `Conflict`."""
        return await self._run(session_flows.complete(session_id, self._retry))

    async def second_look(
        self, session_id: str, chunks: Sequence[str], first_seq: int
    ) -> SecondLook:
        """Complete a session and encode chunks of it again, now against the memory of the whole document.

        `Conflict` if a text is not the one that was appended under its number. May be called for other chunks after.
        """
        return await self._run(
            session_flows.second_look(session_id, chunks, first_seq, self._retry)
        )

    async def query(
        self, session_id: str, texts: Sequence[str], top_k: int | None = None
    ) -> QueryResult:
        """Ask a session: the vector of each question, and what the session remembers for it; nothing is written.

        The vectors are those of `embed`, so one index serves all sessions. A question over the window is `Invalid`. A
        session with an index also finds its `top_k` nearest chunks, 10 unless it is said.
        """
        return await self._run(session_flows.query(session_id, texts, top_k, self._retry))
