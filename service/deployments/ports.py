"""A served model in processes of its own, as the HTTP layer wants to see it."""

from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from service.deployments.calls import Call, Calls, Patience
from service.deployments.lane import Lane
from service.deployments.refusals import Refusals
from service.errors import RoundFull
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


class RayEncoder:
    """`EncoderPort` over one encoder deployment.

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
        patience = patience or Patience()
        self._calls = Calls(model, handle, patience, lane)
        self._info: ModelInfo | None = None
        self._refusals = Refusals(patience.overload)

    def close(self) -> None:
        """Close the lane, if there is one."""
        self._calls.close()

    def full(self) -> RoundFull | None:
        """Return the model's last refusal if its round was full a moment ago; None where others may have room."""
        return self._refusals.standing()

    async def info(self) -> ModelInfo:
        """Describe the model; asked once, since it cannot change while the service runs."""
        if self._info is not None:
            return self._info
        info: ModelInfo = await self._calls.make_briefly(Call("info"))
        self._info = info
        return info

    async def check(self) -> None:
        """Run a real forward pass and a store round trip on one replica."""
        await self._calls.make_briefly(Call("check"))

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts; tried again once if the replica dies, since nothing is changed by it."""
        call = Call("embed", (list(texts),), {"truncate": truncate})
        result: EmbedResult = await self._forward(call)
        return result

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Encode texts with all their tokens; tried again once as `embed` is."""
        call = Call("encode", (list(texts),), {"truncate": truncate})
        result: EncodeResult = await self._forward(call)
        return result

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Find the tokens of texts; tried again once as `embed` is."""
        result: TokenizeResult = await self._calls.make(Call("tokenize", (list(texts),)))
        return result

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Show how a short text is attended to; tried again once as `embed` is."""
        make = (
            self._calls.make if command.context is None else self._forward
        )  # a text alone runs aside
        result: AttentionResult = await make(Call("inspect", (command,)))
        return result

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read chunks into a session, on the replica that has its state in memory.

        Tried again once if the replica dies and the command says which chunks it means: with `first_seq` or a
        key, what was committed is replayed and what was not is done.

        Raises:
            OutcomeUnknown: the command does not say so, and its replica died or fell silent with it.
        """
        repeatable = command.first_seq is not None or command.idempotency_key is not None
        reach("gateway.forward")
        call = Call("append", (command,), session=_session(command), repeatable=repeatable)
        result: AppendResult = await self._forward(call)
        reach("gateway.answer")
        return result

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Look at chunks again, on the same replica; tried again once, since completing twice is completing once."""
        call = Call("revisit", (command,), session=_session(command))
        result: RevisitResult = await self._forward(call)
        return result

    async def query(self, command: QueryCommand) -> QueryResult:
        """Ask a session, on the same replica; tried again once as `embed` is."""
        call = Call("query", (command,), session=_session(command))
        result: QueryResult = await self._forward(call)
        return result

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks into a state that the caller keeps, on any replica; tried again once as `embed` is."""
        make = self._calls.make if command.admitted else self._forward
        result: ReadResult = await make(Call("read", (command,)))
        return result

    async def verify(self, state: bytes) -> None:
        """Check that a state is one of this model's, on any replica; tried again once as `embed` is."""
        await self._forward(Call("verify", (state,)))

    async def memory(self, command: MemoryCommand) -> MemoryResult:
        """Describe a session's memory, on the replica that has it; tried again once as `embed` is."""
        call = Call("memory", (command,), session=_session(command))
        result: MemoryResult = await self._calls.make(call)
        return result

    async def _forward(self, call: Call) -> Any:
        """Call a model for what needs a forward pass; one that has just had no room for any is not asked."""
        refusal = self.full()
        if refusal is not None:
            raise refusal
        try:
            return await self._calls.make(call)
        except RoundFull as error:
            self._refusals.remember(error)
            raise


def _session(command: AppendCommand | RevisitCommand | QueryCommand | MemoryCommand) -> str:
    """Return what tells a session's owner among the replicas."""
    return f"{command.tenant}/{command.session_id}"
