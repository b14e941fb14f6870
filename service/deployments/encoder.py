"""The replica that serves one model."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from ray import serve

from service import failpoints
from service.config import ServiceConfig
from service.config_models import ModelConfig
from service.deployments.lane import Address, LaneServer, supported
from service.deployments.logs import configure_logs
from service.deployments.reviving import until_loaded
from service.deployments.scaling import BUSY, QUEUED_TOKENS, REFUSED, Share
from service.errors import ModelLoadError, RoundFull
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

if TYPE_CHECKING:
    from service.encoder_node import EncoderNode, FailedNode

LANE_STOP_SECONDS: Final = 10.0
"""Longest time that calls on the lane get once the replica is to stop: half of what Ray gives it for everything."""
log = structlog.get_logger(__name__)


class Encoder:
    """One model in a process of its own; its methods are called by gateways, through Serve handles or the lane.

    Ray Serve awaits a coroutine `__init__` and takes the replica into service when it is done.

    Args:
        model: The model to serve.
        config: The whole configuration.
    """

    async def __init__(  # type: ignore[misc] # Serve awaits it
        self, model: ModelConfig, config: ServiceConfig
    ) -> None:
        # Imported here: the driver and the gateways name this class and never need torch.
        from service.encoder_node import EncoderNode, FailedNode  # noqa: PLC0415

        configure_logs(config)
        failpoints.enable(config.failpoints)
        self._name = replica_name()
        self._lane: LaneServer | None = None
        if config.gateways and model.replicas == 1 and supported():
            self._lane = await LaneServer.open(self, LANE_STOP_SECONDS)
        self._failure: str | None = None
        self._busy, self._refused = shares(lambda: self._node)
        self._node: EncoderNode | FailedNode
        self._reviving: asyncio.Task[None] | None = None
        try:
            self._node = await EncoderNode.start(model, config)
        except ModelLoadError as error:
            # A deployment that cannot start would take the whole application down with it.
            log.error("model_failed", model=model.id, reason=str(error))  # noqa: TRY400 - says it all
            self._failure = str(error)
            self._node = FailedNode(self._failure)
            self._reviving = asyncio.create_task(self._revive(model, config), name="reviving")
            return
        except Exception:
            # The store, which all models need: Serve tries again.
            log.exception("replica_failed", model=model.id)
            raise
        log.info("model_ready", model=model.id)

    async def _revive(self, model: ModelConfig, config: ServiceConfig) -> None:
        """Try again what could not be loaded until it can be."""
        from service.encoder_node import EncoderNode, FailedNode  # noqa: PLC0415 - as above

        def failed(reason: str) -> None:
            self._failure, self._node = reason, FailedNode(reason)

        self._node = await until_loaded(partial(EncoderNode.start, model, config), failed)
        self._failure = None
        log.info("model_ready", model=model.id)

    async def ping(self) -> None:
        """Show that the process lives and its event loop turns."""

    async def lane(self) -> Address | None:
        """Return where gateways on this machine may call it without Ray; None for nowhere."""
        return None if self._lane is None else self._lane.address

    async def failure(self) -> str | None:
        """Return why the model could not be loaded, None if it was."""
        return self._failure

    def full(self) -> RoundFull | None:
        """Return why whatever needs a forward pass would be refused now; None if some would not."""
        return self._node.full()

    async def info(self) -> ModelInfo:
        """Describe the model."""
        return await self._node.info()

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts without a session."""
        return await self._node.embed(texts, truncate=truncate)

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Encode texts with all their tokens."""
        return await self._node.encode(texts, truncate=truncate)

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Find the tokens of texts."""
        return await self._node.tokenize(texts)

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Show how a short text is attended to."""
        return await self._node.inspect(command)

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read chunks into a session."""
        return await self._node.append(command)

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Complete a session and encode chunks of it against all of its memory."""
        return await self._node.revisit(command)

    async def query(self, command: QueryCommand) -> QueryResult:
        """Answer questions to a session."""
        return await self._node.query(command)

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks into a state that the caller keeps."""
        return await self._node.read(command)

    async def verify(self, state: bytes) -> None:
        """Check that a state is one of this model's."""
        await self._node.verify(state)

    async def memory(self, command: MemoryCommand) -> MemoryResult:
        """Describe what a session's memory holds."""
        return await self._node.memory(command)

    async def check(self) -> None:
        """Run a real forward pass and a store round trip."""
        await self._node.check()

    async def exposition(self) -> tuple[str, bytes]:
        """Return this replica's name and metrics."""
        return self._name, self._node.exposition()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Report what the number of replicas is decided by; Ray Serve asks where it may change.

        A coroutine, so that it runs where the queue changes.
        """
        return {
            QUEUED_TOKENS: float(self._node.divisible_tokens),
            REFUSED: self._refused.share(),
            BUSY: self._busy.share(),
        }

    async def __del__(self) -> None:
        """Stop; Ray Serve awaits this before it ends a replica."""
        await self.stop()

    async def stop(self) -> None:
        """Finish running appends and close the store."""
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.gather(self._reviving, return_exceptions=True)
        if self._lane is not None:
            await self._lane.stop()
        await self._node.stop()


def shares(node: Callable[[], "EncoderNode | FailedNode"]) -> tuple[Share, Share]:
    """Return the share of its time that a node is busy, and the share of the tokens asked for that it refuses."""
    return (
        Share(lambda: node().busy_s, time.monotonic, time.monotonic()),
        Share(lambda: node().refused_tokens, lambda: node().asked_tokens),
    )


def replica_name() -> str:
    """Return a name of this replica that no other one ever has."""
    replica = serve.get_replica_context().replica_id
    return f"{replica.deployment_id.name}-{replica.unique_id}"
