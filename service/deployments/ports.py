"""A served model behind a Ray Serve handle, as the HTTP layer wants to see it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from service.deployments.lane import Lane
from service.deployments.refusals import Refusals
from service.errors import OUTCOME_UNKNOWN, OutcomeUnknown, RoundFull, Unavailable
from service.failpoints import reach
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

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call waits for a model that gives no sign of life; seconds.

    Attributes:
        short: For an answer that needs no computing (`info`, `check`).
        between_pings: How long a computation may run before its model is asked if it lives.
        silence: How long a model may fail to answer pings before the call is given up.
        overload: How long forward passes are refused without asking after the model had no room for any: asking
            costs more than a short one. 0 where other replicas may have room.
    """

    short: float = 4.0
    between_pings: float = 5.0
    silence: float = 20.0
    overload: float = 0.0


class _FellSilent(Unavailable):
    """A model that had begun a call and then gave no sign of life."""


class RayEncoder:
    """`EncoderPort` over the handle of one encoder deployment.

    A call has no fixed deadline, because a long text is a long computation. Instead the model is pinged
    while the call runs, and the call ends in `Unavailable` once no replica has answered for a while.

    Args:
        model: Id of the model.
        handle: Handle of its deployment.
        patience: Waiting times.
        lane: A shorter way to its only replica.
    """

    def __init__(
        self,
        model: str,
        handle: DeploymentHandle[Any],
        patience: Patience | None = None,
        lane: Lane | None = None,
    ) -> None:
        self._model = model
        self._handle = handle
        self._patience = patience or Patience()
        self._lane = lane
        self._info: ModelInfo | None = None
        self._refusals = Refusals(self._patience.overload)

    def full(self) -> RoundFull | None:
        """Return the model's last refusal if its round was full a moment ago; None where others may have room."""
        return self._refusals.standing()

    async def info(self) -> ModelInfo:
        """Describe the model; asked once, since it cannot change while the service runs."""
        if self._info is not None:
            return self._info
        info: ModelInfo = await self._briefly(self._handle.info.remote())
        self._info = info
        return info

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts; tried again once if the replica dies, since nothing is changed by it."""
        batch = list(texts)
        return await self._forward(lambda: self._ask("embed", batch, truncate=truncate))

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Encode texts with all their tokens; tried again once as `embed` is."""
        batch = list(texts)
        return await self._forward(lambda: self._ask("encode", batch, truncate=truncate))

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Find the tokens of texts; tried again once as `embed` is."""
        batch = list(texts)
        return await self._call(lambda: self._ask("tokenize", batch))

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Show how a short text is attended to; tried again once as `embed` is."""
        call = self._call if command.context is None else self._forward  # a text alone runs aside
        return await call(lambda: self._ask("inspect", command))

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read chunks into a session, on the replica that has its state in memory.

        Tried again once if the replica dies and the command says which chunks it means: with `first_seq` or a
        key, what was committed is replayed and what was not is done.

        Raises:
            OutcomeUnknown: the command does not say so, and its replica died or fell silent with it.
        """
        repeatable = command.first_seq is not None or command.idempotency_key is not None
        reach("gateway.forward")
        result: AppendResult = await self._forward(
            lambda: self._ask_owner("append", command), repeatable=repeatable
        )
        reach("gateway.answer")
        return result

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Look at chunks again, on the same replica; tried again once, since completing twice is completing once."""
        return await self._forward(lambda: self._ask_owner("revisit", command))

    async def query(self, command: QueryCommand) -> QueryResult:
        """Ask a session, on the same replica; tried again once as `embed` is."""
        return await self._forward(lambda: self._ask_owner("query", command))

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks into a state that the caller keeps, on any replica; tried again once as `embed` is."""
        return await self._forward(lambda: self._ask("read", command))

    async def verify(self, state: bytes) -> None:
        """Check that a state is one of this model's, on any replica; tried again once as `embed` is."""
        await self._forward(lambda: self._ask("verify", state))

    async def memory(self, command: MemoryCommand) -> MemoryResult:
        """Describe a session's memory, on the replica that has it; tried again once as `embed` is."""
        return await self._call(lambda: self._ask_owner("memory", command))

    async def check(self) -> None:
        """Run a real forward pass and a store round trip on one replica."""
        await self._briefly(self._handle.check.remote())

    def _ask(self, method: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Call the replica by its lane, or else any through Ray."""
        return self._by_lane(method, *args, **kwargs) or _remote(self._handle, method)(
            *args, **kwargs
        )

    def _ask_owner(
        self, method: str, command: AppendCommand | RevisitCommand | QueryCommand | MemoryCommand
    ) -> Awaitable[Any]:
        """Call the replica that has a session's state in memory; where there is a lane, there is but one."""
        answer = self._by_lane(method, command)
        if answer is not None:
            return answer
        owner = self._handle.options(session_id=f"{command.tenant}/{command.session_id}")
        return _remote(owner, method)(command)

    def _by_lane(self, method: str, *args: Any, **kwargs: Any) -> Awaitable[Any] | None:
        return None if self._lane is None else self._lane.call(method, *args, **kwargs)

    async def _forward(
        self, start: Callable[[], Awaitable[Result]], *, repeatable: bool = True
    ) -> Result:
        """Call a model for what needs a forward pass; one that has just had no room for any is not asked."""
        refusal = self.full()
        if refusal is not None:
            raise refusal
        try:
            return await self._call(start, repeatable=repeatable)
        except RoundFull as error:
            self._refusals.remember(error)
            raise

    async def _call(
        self, start: Callable[[], Awaitable[Result]], *, repeatable: bool = True
    ) -> Result:
        try:
            return await self._watched(start)
        except (RayActorError, _FellSilent) as error:
            if not repeatable:
                raise self._unknown() from error
            if isinstance(error, _FellSilent):
                raise
        try:
            return await self._watched(start)
        except RayActorError as error:
            raise self._silent() from error

    async def _watched(self, start: Callable[[], Awaitable[Result]]) -> Result:
        """Await a response for as long as the model shows signs of life."""
        task = asyncio.create_task(_result(start))
        silent_s = 0.0
        try:
            while silent_s < self._patience.silence:
                done, _ = await asyncio.wait({task}, timeout=self._patience.between_pings)
                if done:
                    return await task
                silent_s = 0.0 if await self._answers() else silent_s + self._ping_round_s
            raise _FellSilent(*self._silent().args)
        except BackPressureError as error:
            raise Unavailable(
                "overloaded", "Too many requests are waiting for this model; try again shortly."
            ) from error
        except DeploymentUnavailableError as error:
            raise self._silent() from error
        finally:
            task.cancel()

    @property
    def _ping_round_s(self) -> float:
        return self._patience.between_pings + self._patience.short

    async def _answers(self) -> bool:
        try:
            await self._briefly(self._handle.ping.remote())
        except Unavailable:
            return False
        return True

    async def _briefly(self, response: Awaitable[Result]) -> Result:
        try:
            return await asyncio.wait_for(_result(lambda: response), self._patience.short)
        except (
            TimeoutError,
            RayActorError,
            BackPressureError,
            DeploymentUnavailableError,
        ) as error:
            raise self._silent() from error

    def _unknown(self) -> OutcomeUnknown:
        return OutcomeUnknown(
            OUTCOME_UNKNOWN,
            f"the replica of model {self._model!r} that read this request died or fell silent; whether chunks were "
            "committed is not known: read the session's next_seq before you send them again, and number them with "
            "first_seq or send an Idempotency-Key, so that sending them again is safe",
        )

    def _silent(self) -> Unavailable:
        return Unavailable(
            "model_unavailable",
            f"model {self._model!r} does not answer: it is starting, being replaced, or has failed to load",
        )


def _remote(handle: DeploymentHandle[Any], method: str) -> Callable[..., Awaitable[Any]]:
    """Return what calls a method of a replica through Ray."""
    remote: Callable[..., Awaitable[Any]] = getattr(handle, method).remote
    return remote


async def _result(start: Callable[[], Awaitable[Result]]) -> Result:
    """Make a coroutine of a call, whose cancellation reaches the replica."""
    return await start()
