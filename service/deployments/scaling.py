"""How many replicas a model gets: by the tokens that wait for it, not by requests, which may be of any length."""

import math
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from service.config_models import ModelConfig

QUEUED_TOKENS: Final = "queued_tokens"
BUSY: Final = "busy"
"""Names of what each replica reports of itself; Ray calls its `record_autoscaling_stats`."""
COMFORTABLE: Final = 0.7
"""Share of their time that replicas may be busy: with one of them gone, too, or it stays."""
LOOK_BACK_SECONDS: Final = 12.0
UP_SECONDS: Final = 4.0
DOWN_SECONDS: Final = 60.0
"""A replica that goes takes hot states with it, and a new one takes seconds to start: rather late than to and fro."""


def wanted_replicas(
    queued_tokens: Collection[float], busy: Collection[float], replicas: int, most_queued: int
) -> int:
    """Return how many replicas there should be.

    Tokens that wait show that there are too few replicas, but an empty queue does not show that there are too many:
    so they go one by one, and only while the others would not be busy with the work of all.

    Args:
        queued_tokens: Tokens that wait, by replica that runs.
        busy: Share of its time that each of them spends in forward passes.
        replicas: How many there are to be as of now.
        most_queued: Tokens that may wait for each.
    """
    if len(queued_tokens) != replicas:
        return replicas  # some start, stop, or have not reported yet: what they change is not known
    waiting = sum(queued_tokens)
    if waiting > most_queued * replicas:
        return min(math.ceil(waiting / most_queued), 2 * replicas)
    if replicas > 1 and sum(busy) < COMFORTABLE * (replicas - 1):
        return replicas - 1
    return replicas


class QueuedTokensPolicy:
    """`wanted_replicas` as Ray Serve's controller calls it, several times a second.

    Args:
        most_queued: Tokens that may wait for each replica.
    """

    def __init__(self, most_queued: int) -> None:
        self._most_queued = most_queued

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Return the number of replicas, which Ray bounds and delays, and no state."""
        reported = context.aggregated_metrics or {}
        wanted = wanted_replicas(
            reported.get(QUEUED_TOKENS, {}).values(),
            reported.get(BUSY, {}).values(),
            context.target_num_replicas,
            self._most_queued,
        )
        return wanted, {}


class BusyShare:
    """The share of its time that a replica was busy since it was last asked.

    Args:
        busy_s: Returns the seconds it was busy so far.
        clock: Seconds; never goes back.
    """

    def __init__(
        self, busy_s: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._busy_s, self._clock = busy_s, clock
        self._before = (0.0, clock())

    def share(self) -> float:
        """Return it, 0 to 1; a step that goes on counts when it is over."""
        busy_s, now = self._busy_s(), self._clock()
        before_s, before = self._before
        self._before = (busy_s, now)
        return min(1.0, (busy_s - before_s) / (now - before)) if now > before else 0.0


def replica_options(model: ModelConfig) -> dict[str, Any]:
    """Return the options of a model's deployment that say how many replicas it has."""
    if isinstance(model.replicas, int):
        return {"num_replicas": model.replicas}
    policy = AutoscalingPolicy(  # type: ignore[no-untyped-call] # Ray does not annotate it
        policy_function=QueuedTokensPolicy,
        policy_kwargs={"most_queued": model.replicas.queued_tokens},
    )
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=model.replicas.min,
            max_replicas=model.replicas.max,
            look_back_period_s=LOOK_BACK_SECONDS,
            upscale_delay_s=UP_SECONDS,
            downscale_delay_s=DOWN_SECONDS,
            policy=policy,
        )
    }
