"""What both clients ask about tokens."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from service.client import token_flows
from service.client.core import Flow, RetryPolicy
from service.client.token_flows import AttentionQuery
from service.client.token_results import Attention, Encodings, Tokenization

T = TypeVar("T")


class TokenCalls(ABC):
    """The blocking calls."""

    _retry: RetryPolicy

    @abstractmethod
    def _run(self, flow: Flow[T]) -> T:
        """Perform a flow."""

    def encode(
        self,
        texts: Sequence[str],
        model: str,
        *,
        truncate: bool = False,
        special_tokens: bool = False,
    ) -> Encodings:
        """Encode texts as `embed` does, with a vector and a place for every token; CLS and SEP only if asked for."""
        return self._run(
            token_flows.encode(texts, model, self._retry, truncate=truncate, special=special_tokens)
        )

    def tokenize(self, texts: Sequence[str], model: str) -> Tokenization:
        """Find which tokens a model reads where in each text."""
        return self._run(token_flows.tokenize(texts, model, self._retry))

    def attention(
        self,
        text: str,
        model: str,
        *,
        context: str | None = None,
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        stages: Sequence[str] = ("weights",),
    ) -> Attention:
        """Show how a short text is attended to; `layers` and `heads` count from 0, all by default.

        A model with memory reads `context` before. `stages` are any of `scores`, `weights`, `outputs`.
        """
        query = AttentionQuery(text, context, layers, heads, stages)
        return self._run(token_flows.attention(query, model, self._retry))


class AsyncTokenCalls(ABC):
    """The same calls, from asyncio."""

    _retry: RetryPolicy

    @abstractmethod
    async def _run(self, flow: Flow[T]) -> T:
        """Perform a flow."""

    async def encode(
        self,
        texts: Sequence[str],
        model: str,
        *,
        truncate: bool = False,
        special_tokens: bool = False,
    ) -> Encodings:
        """Encode texts as `embed` does, with a vector and a place for every token; CLS and SEP only if asked for."""
        return await self._run(
            token_flows.encode(texts, model, self._retry, truncate=truncate, special=special_tokens)
        )

    async def tokenize(self, texts: Sequence[str], model: str) -> Tokenization:
        """Find which tokens a model reads where in each text."""
        return await self._run(token_flows.tokenize(texts, model, self._retry))

    async def attention(
        self,
        text: str,
        model: str,
        *,
        context: str | None = None,
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        stages: Sequence[str] = ("weights",),
    ) -> Attention:
        """Show how a short text is attended to; `layers` and `heads` count from 0, all by default.

        A model with memory reads `context` before. `stages` are any of `scores`, `weights`, `outputs`.
        """
        query = AttentionQuery(text, context, layers, heads, stages)
        return await self._run(token_flows.attention(query, model, self._retry))
