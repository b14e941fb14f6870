"""The composition root of an encoder process."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

from models.config import AttentionOptions
from models.inference import ready
from models.loading import LoadedEncoder, load_encoder, use_threads
from service.config import LimitsConfig, ServiceConfig
from service.config_models import ModelConfig
from service.encoder_node.inspector import Inspector
from service.encoder_node.loading import describe, failing_alone
from service.encoder_node.reader import TextReader
from service.encoder_node.recalling import Recaller
from service.encoder_node.session_work import Model, SessionWork, session_work
from service.engine import Engine
from service.errors import RoundFull, Unprocessable
from service.metrics import EncoderMetrics
from service.ports import (
    AppendCommand,
    AppendResult,
    AttentionCommand,
    AttentionResult,
    EmbedResult,
    EncodeResult,
    MemoryCommand,
    MemoryResult,
    ModelInfo,
    QueryCommand,
    QueryResult,
    ReadCommand,
    ReadResult,
    RevisitCommand,
    RevisitResult,
    TokenizeResult,
)
from service.sessions.stores import SessionStore, serving_store

FRESH_STEP_S: Final = 5.0
"""A forward pass this recent proves that the model runs."""


class EncoderNode:
    """One served model; an `EncoderPort` in process.

    Build it with `start`, end it with `stop`.
    """

    def __init__(
        self,
        model: LoadedEncoder,
        info: ModelInfo,
        metrics: EncoderMetrics,
        engine: Engine,
        limits: LimitsConfig,
    ) -> None:
        self._model = model
        self._info = info
        self._metrics = metrics
        self._engine = engine
        self._reader = TextReader(model, engine, limits.answer_numbers)
        self._inspector = Inspector(model, engine, limits)
        recall = model.encoder.recall
        self._recaller = None
        if recall is not None:
            self._recaller = Recaller(model.encoder, recall, engine.step_tokens)
        self._store: SessionStore | None = None
        self._sessions: SessionWork | None = None
        self._exit = AsyncExitStack()

    @classmethod
    async def start(cls, model: ModelConfig, config: ServiceConfig) -> Self:
        """Load the weights, run a first forward pass, and open the store.

        Raises:
            ModelLoadError: the model cannot be loaded or does not run; the message says why.
            ConfigError, Unavailable: the store cannot be opened.
        """
        use_threads(config.engine.threads or os.cpu_count() or 1)
        begun = time.monotonic()
        options = AttentionOptions(memory_rule=model.memory_rule)
        with failing_alone(model.id):
            loaded = await asyncio.to_thread(
                load_encoder, model.attention, model.weights, options, model.adapter
            )
            loaded = await asyncio.to_thread(ready, loaded, model.precision)
            metrics = EncoderMetrics(model.id, config.sessions.backend)
            bounds = config.engine
            engine = Engine(
                loaded.encoder,
                bounds.step_tokens,
                bounds.queue_tokens,
                metrics,
                bounds.round_seconds,
            )
            node = cls(loaded, describe(model, loaded), metrics, engine, config.limits)
        metrics.queue_depth(lambda: float(engine.queued_tokens))
        try:
            with failing_alone(model.id):
                await node._run(config.engine.step_tokens)
            await node._open(config)
        except BaseException:
            await node.stop()
            raise
        metrics.loaded(time.monotonic() - begun)
        return node

    async def _run(self, step_tokens: int) -> None:
        await self._exit.enter_async_context(self._engine)
        self._exit.callback(self._inspector.close)
        if self._recaller is not None:
            self._exit.callback(self._recaller.close)
        await self._warm_up(step_tokens)

    async def _open(self, config: ServiceConfig) -> None:
        serving = serving_store(config.sessions, config.data_dir, self._metrics)
        store = await self._exit.enter_async_context(serving)
        self._store = store
        if not self._info.memory_bytes:
            return
        model = Model(self._model, self._info, self._engine, self._reader, self._recaller)
        self._sessions = session_work(model, store, config, self._metrics)
        self._exit.callback(self._sessions.view.close)
        self._exit.push_async_callback(self._sessions.appender.drain)

    async def _warm_up(self, step_tokens: int) -> None:
        """Run the largest step there can be, so that the first requests find all buffers allocated."""
        full = self._info.max_chunk_tokens
        text = "warm " * (full - 2)
        # A window may be longer than a step, and another vocabulary may cut the word in two.
        await self._reader.embed([text] * max(1, step_tokens // full), truncate=True)

    async def stop(self) -> None:
        """Finish running appends, stop the engine, close the store."""
        await self._exit.aclose()

    async def info(self) -> ModelInfo:
        """Describe the model."""
        return self._info

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts without a session."""
        result = await self._reader.embed(texts, truncate=truncate)
        self._count(result)
        return result

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Encode texts with all their tokens."""
        result = await self._reader.encode(texts, truncate=truncate)
        self._count(result.embedded)
        return result

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Find the tokens of texts."""
        return await self._reader.tokenize(texts)

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Show how a short text is attended to."""
        result = await self._inspector.inspect(command)
        self._metrics.stage(result.times)
        self._metrics.tokens("stateless", result.read_tokens)
        return result

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read chunks into a session.

        Raises:
            Unprocessable: `model_has_no_memory`; and as `Appender.append`.
        """
        result = await self._with_memory().appender.append(command)
        self._metrics.stage(result.times)
        return result

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Complete a session and encode chunks of it against all of its memory.

        Raises:
            Unprocessable: `model_has_no_memory`; and as `Revisits.revisit`.
        """
        result = await self._with_memory().revisits.revisit(command)
        self._metrics.stage(result.times)
        self._metrics.tokens("revisit", result.read_tokens)
        return result

    async def query(self, command: QueryCommand) -> QueryResult:
        """Answer questions to a session.

        Raises:
            Unprocessable: `model_has_no_memory`; and as `Questions.query`.
        """
        result = await self._with_memory().questions.query(command)
        self._metrics.stage(result.times)
        self._metrics.tokens("stateless", result.read_tokens)
        return result

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks into a state that the caller keeps.

        Raises:
            Unprocessable: `model_has_no_memory`; and as `StatelessReader.read`.
        """
        result = await self._with_memory().stateless.read(command)
        self._metrics.stage(result.times)
        self._metrics.tokens("stateless", sum(answer.tokens for answer in result.answers))
        return result

    async def verify(self, state: bytes) -> None:
        """Check that a state is one of this model's.

        Raises:
            Unprocessable: `model_has_no_memory`; and as `StatelessReader.verify`.
        """
        await self._with_memory().stateless.verify(state)

    async def memory(self, command: MemoryCommand) -> MemoryResult:
        """Describe what a session's memory holds.

        Raises:
            Unprocessable: `model_has_no_memory`; and as `MemoryView.describe`.
        """
        return await self._with_memory().view.describe(command)

    async def check(self) -> None:
        """Run a forward pass, unless one has just run, and a store round trip.

        Raises:
            Unavailable: either failed.
        """
        if time.monotonic() - self._engine.last_step_at > FRESH_STEP_S:
            await self._reader.embed(["ready"], truncate=False)
        if self._store is not None:
            await self._store.ping()

    def full(self) -> RoundFull | None:
        """Return why whatever needs a forward pass would be refused now; None if some would not."""
        return self._engine.full()

    @property
    def divisible_tokens(self) -> int:
        """Tokens that wait for a forward pass, of each request no more than one of them holds."""
        return self._engine.divisible_tokens

    @property
    def asked_tokens(self) -> int:
        """Tokens that were to be let in to wait so far."""
        return self._engine.asked_tokens

    @property
    def refused_tokens(self) -> int:
        """Those of them that were not."""
        return self._engine.refused_tokens

    @property
    def busy_s(self) -> float:
        """Seconds spent in forward passes so far."""
        return self._engine.busy_s

    def _with_memory(self) -> SessionWork:
        if self._sessions is None:
            raise Unprocessable(
                "model_has_no_memory",
                f"model {self._info.id} has no memory: it cannot read a session",
            )
        return self._sessions

    def _count(self, result: EmbedResult) -> None:
        self._metrics.stage(result.times)
        self._metrics.tokens("stateless", result.tokens)
        self._metrics.truncated(result.truncated_tokens)

    def exposition(self) -> bytes:
        """Return this process's metrics as Prometheus text."""
        return self._metrics.exposition()
