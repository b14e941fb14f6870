"""The composition root of an encoder process."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Final, Self

import structlog

from models.config import AttentionOptions
from models.errors import WeightsError
from models.loading import LoadedEncoder, load_encoder, use_threads
from service.config import LimitsConfig, ModelConfig, ServiceConfig
from service.encoder_node.inspector import Inspector
from service.encoder_node.reader import TextReader
from service.engine import Engine
from service.errors import ModelLoadError, ServiceError, Unprocessable
from service.metrics import EncoderMetrics
from service.ports import (
    AppendCommand,
    AppendResult,
    AttentionCommand,
    AttentionResult,
    EmbedResult,
    EncodeResult,
    ModelInfo,
    TokenizeResult,
)
from service.sessions.appender import Appender
from service.sessions.hot import HotStates
from service.sessions.stores import open_store
from service.sessions.stores.base import SessionStore
from service.sessions.stores.timed import TimedStore

FRESH_STEP_S: Final = 5.0
"""A forward pass this recent proves that the model runs."""

log = structlog.get_logger(__name__)


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
        self._info = info
        self._metrics = metrics
        self._engine = engine
        self._reader = TextReader(model, engine, limits.answer_numbers)
        self._inspector = Inspector(model, engine, limits)
        self._store: SessionStore | None = None
        self._appender: Appender | None = None
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
        with _failing_alone(model.id):
            loaded = await asyncio.to_thread(
                load_encoder, model.attention, model.weights, options, model.adapter
            )
            metrics = EncoderMetrics(model.id, config.sessions.store.partition(":")[0])
            engine = Engine(
                loaded.encoder, config.engine.step_tokens, config.engine.queue_tokens, metrics
            )
            node = cls(loaded, _describe(model, loaded), metrics, engine, config.limits)
        metrics.queue_depth(lambda: float(engine.queued_tokens))
        try:
            with _failing_alone(model.id):
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
        await self._warm_up(step_tokens)

    async def _open(self, config: ServiceConfig) -> None:
        timed = TimedStore(open_store(config.sessions.store, config.data_dir), self._metrics)
        store = await self._exit.enter_async_context(timed)
        self._store = store
        if not self._info.memory_bytes:
            return
        hot = HotStates(config.sessions.hot_bytes, self._metrics)
        self._appender = Appender(
            store,
            self._reader,
            self._info,
            hot,
            kept_answers=config.sessions.kept_answers,
            observer=self._metrics,
        )
        self._exit.push_async_callback(self._appender.drain)
        self._metrics.hot_state_bytes(lambda: float(hot.nbytes))
        self._metrics.session_state_bytes(self._appender.state_bytes)

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
        if self._appender is None:
            raise Unprocessable(
                "model_has_no_memory",
                f"model {self._info.id} has no memory: it cannot read a session",
            )
        result = await self._appender.append(command)
        self._metrics.stage(result.times)
        return result

    async def check(self) -> None:
        """Run a forward pass, unless one has just run, and a store round trip.

        Raises:
            Unavailable: either failed.
        """
        if time.monotonic() - self._engine.last_step_at > FRESH_STEP_S:
            await self._reader.embed(["ready"], truncate=False)
        if self._store is not None:
            await self._store.ping()

    def _count(self, result: EmbedResult) -> None:
        self._metrics.stage(result.times)
        self._metrics.tokens("stateless", result.tokens)
        self._metrics.truncated(result.truncated_tokens)

    def exposition(self) -> bytes:
        """Return this process's metrics as Prometheus text."""
        return self._metrics.exposition()


@contextmanager
def _failing_alone(model: str) -> Iterator[None]:
    """Tell what a variant raises, whatever it is, from failures of what all models share."""
    try:
        yield
    except WeightsError as error:
        raise ModelLoadError(f"model {model}: {error}") from error
    except ServiceError as error:  # of the first forward pass; the engine has logged the trace
        raise ModelLoadError(f"model {model}: {error.detail}") from error
    except Exception as error:
        log.exception("model_broken", model=model)
        raise ModelLoadError(f"model {model}: {type(error).__name__}: {error}") from error


def _describe(model: ModelConfig, loaded: LoadedEncoder) -> ModelInfo:
    encoder = loaded.encoder
    return ModelInfo(
        id=model.id,
        attention=loaded.attention,
        dimensions=encoder.config.width,
        max_chunk_tokens=encoder.config.max_tokens,
        memory_bytes=encoder.empty_memory().nbytes if encoder.has_memory else 0,
        fingerprint=loaded.fingerprint,
        base=loaded.base,
        checkpoint=loaded.adapter,
        evaluation=dict(loaded.evaluation),
    )
