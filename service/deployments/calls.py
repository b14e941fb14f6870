"""Calling the replicas of one model: by the lane or through Ray, watched, and sent again where that is safe."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from service.deployments.lane import Lane
from service.errors import OUTCOME_UNKNOWN, OutcomeUnknown, Unavailable


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


@dataclass(frozen=True, slots=True)
class Call:
    """What a replica is asked.

    Attributes:
        method: Of the replica.
        args: Positional.
        kwargs: By name.
        session: Whose state one of the replicas has in memory: that one is asked.
        repeatable: Whether doing it twice is doing it once.
    """

    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    session: str | None = None
    repeatable: bool = True


class _FellSilent(Unavailable):
    """A model that had begun a call and then gave no sign of life."""


_PING: Final = Call("ping")


class Calls:
    """Calls of one model.

    Args:
        model: Its id.
        handle: Handle of its deployment.
        patience: Waiting times.
        lane: A shorter way to its only replica.
    """

    def __init__(
        self, model: str, handle: DeploymentHandle[Any], patience: Patience, lane: Lane | None
    ) -> None:
        self._model = model
        self._handle = handle
        self._patience = patience
        self._lane = lane

    def close(self) -> None:
        """Close the lane, if there is one."""
        if self._lane is not None:
            self._lane.close()

    async def make(self, call: Call) -> Any:
        """Return what a replica answers, however long it takes; asked once more if it dies and that is safe.

        Raises:
            Unavailable: `model_unavailable`, `overloaded`; and what the replica raises.
            OutcomeUnknown: it died or fell silent with a call that is not repeatable.
        """
        try:
            return await self._watched(call)
        except (RayActorError, _FellSilent) as error:
            if not call.repeatable:
                raise self._unknown() from error
            if isinstance(error, _FellSilent):
                raise
        try:
            return await self._watched(call)
        except RayActorError as error:
            raise self._silent() from error

    async def make_briefly(self, call: Call, *, by_lane: bool = False) -> Any:
        """Return what a replica answers at once; through Ray, unless the lane is what is asked about.

        Raises:
            Unavailable: `model_unavailable`; and what the replica raises.
        """
        start = self._start if by_lane else self._start_through_ray
        try:
            return await asyncio.wait_for(_answer(start, call), self._patience.short)
        except (
            TimeoutError,
            RayActorError,
            BackPressureError,
            DeploymentUnavailableError,
        ) as error:
            raise self._silent() from error

    def _start(self, call: Call) -> Awaitable[Any]:
        """Ask by the lane, for where there is one there is but one replica; else through Ray."""
        answer = (
            None if self._lane is None else self._lane.call(call.method, *call.args, **call.kwargs)
        )
        return self._start_through_ray(call) if answer is None else answer

    def _start_through_ray(self, call: Call) -> Awaitable[Any]:
        handle = self._handle
        if call.session is not None:
            handle = handle.options(session_id=call.session)
        answer: Awaitable[Any] = getattr(handle, call.method).remote(*call.args, **call.kwargs)
        return answer

    async def _watched(self, call: Call) -> Any:
        """Await an answer for as long as the model shows signs of life."""
        task = asyncio.create_task(_answer(self._start, call))
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
            await self.make_briefly(_PING, by_lane=True)
        except Unavailable:
            return False
        return True

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


async def _answer(start: Callable[[Call], Awaitable[Any]], call: Call) -> Any:
    """Make a coroutine of a call, whose cancellation reaches the replica."""
    return await start(call)
