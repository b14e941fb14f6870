"""How many replicas a model gets: by tokens that wait or are refused, not by requests, which may be of any length."""

import math
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from service.config_models import ModelConfig

QUEUED_TOKENS: Final = "queued_tokens"
REFUSED: Final = "refused"
BUSY: Final = "busy"
"""Names of what each replica reports of itself; Ray calls its `record_autoscaling_stats`."""
COMFORTABLE: Final = 0.7
"""Share of their time that replicas may be busy: with one of them gone, too, or it stays."""
BEARABLE: Final = 0.02
"""Share of the tokens that may be refused: a burst's."""
REPORT_SECONDS: Final = 2.0
"""How often replicas report; after Ray's 10 seconds a burst is old news."""
LOOK_BACK_SECONDS: Final = 12.0
UP_SECONDS: Final = 4.0
DOWN_SECONDS: Final = 60.0
"""A replica that goes takes hot states with it, and a new one takes seconds to start: rather late than to and fro."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What the replicas that run report, one figure each.

    Attributes:
        queued_tokens: Tokens that wait, of each request no more than a step: more replicas would share these.
        refused: Share of the tokens asked for that were refused.
        busy: Share of its time that it spends in forward passes.
    """

    queued_tokens: Collection[float]
    refused: Collection[float]
    busy: Collection[float]


def wanted_replicas(reports: Reports, replicas: int, most_queued: int) -> int:
    """Return how many replicas there should be.

    Tokens that wait show that there are too few replicas. So do tokens that are refused, and where replicas are slow,
    more are refused before that many wait. But an empty queue does not show that there are too many: so they go one by
    one, and only while the others would not be busy with the work of all, and would not be too few for what waits.

    Args:
        reports: What they report.
        replicas: How many there are to be as of now.
        most_queued: Tokens that may wait for each.
    """
    if len(reports.queued_tokens) != replicas:
        return replicas  # some start, stop, or have not reported yet: what they change is not known
    waiting = sum(reports.queued_tokens)
    refused = sum(reports.refused) / replicas
    wanted = math.ceil(waiting / most_queued)
    if refused > BEARABLE:
        wanted = max(wanted, math.ceil(replicas / max(1 - refused, 0.5)))
    if wanted > replicas:
        return min(wanted, 2 * replicas)
    idle = sum(reports.busy) < COMFORTABLE * (replicas - 1)
    if refused <= BEARABLE and idle and waiting <= most_queued * (replicas - 1):
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
        names = (QUEUED_TOKENS, REFUSED, BUSY)
        reports = Reports(*(reported.get(name, {}).values() for name in names))
        wanted = wanted_replicas(reports, context.target_num_replicas, self._most_queued)
        return wanted, {}


class Share:
    """How much of what a whole grew by since it was last asked a part of it grew by.

    Args:
        part: Returns the part so far, from 0, e.g. the seconds a replica was busy.
        whole: Returns the whole so far, e.g. the time; never goes back.
        begin: The whole as of now.
    """

    def __init__(
        self, part: Callable[[], float], whole: Callable[[], float], begin: float = 0.0
    ) -> None:
        self._part, self._whole = part, whole
        self._before = (0.0, begin)

    def share(self) -> float:
        """Return it, 0 to 1; 0 where nothing grew."""
        part, whole = self._part(), self._whole()
        part_before, whole_before = self._before
        self._before = (part, whole)
        grown = whole - whole_before
        return min(1.0, (part - part_before) / grown) if grown > 0 else 0.0


def replica_options(model: ModelConfig) -> dict[str, Any]:
    """Return the options of a model's deployment that say how many replicas it has."""
    if isinstance(model.replicas, int):
        return {"num_replicas": model.replicas}
    policy = AutoscalingPolicy(  # type: ignore[no-untyped-call] # Ray does not annotate it
        policy_function=QueuedTokensPolicy,
        policy_kwargs={"most_queued": model.replicas.queued_tokens},
    )
    with warnings.catch_warnings():
        # Ray 2.60 announces that a variable will replace the interval, but reads none yet.
        warnings.filterwarnings("ignore", "The `metrics_interval_s`", DeprecationWarning)
        scaling = AutoscalingConfig(
            min_replicas=model.replicas.min,
            max_replicas=model.replicas.max,
            metrics_interval_s=REPORT_SECONDS,
            look_back_period_s=LOOK_BACK_SECONDS,
            upscale_delay_s=UP_SECONDS,
            downscale_delay_s=DOWN_SECONDS,
            policy=policy,
        )
    return {"autoscaling_config": scaling}
