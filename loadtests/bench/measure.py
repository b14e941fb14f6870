"""From outcomes to figures."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtests.bench.errors import BenchError
from loadtests.bench.generate import Request
from loadtests.bench.load import Outcome

TokensOf = Callable[[Request], int]
_P50: Final = 50
_P99: Final = 99


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement says.

    Attributes:
        ok: Requests that were answered.
        refused: Requests that were told to come again later.
        failed: Requests with any other end.
        requests_per_s: Answered requests a second.
        tokens_per_s: Tokens of answered requests a second.
        p50_ms: Median latency of answered requests from their intended start.
        p99_ms: The latency that one in a hundred exceeds.
        refused_p99_ms: The same of the refusals; 0 without any.
    """

    ok: int
    refused: int
    failed: int
    requests_per_s: float
    tokens_per_s: float
    p50_ms: float
    p99_ms: float
    refused_p99_ms: float


def figures(outcomes: Sequence[Outcome], tokens_of: TokensOf, warm_up_s: float = 0.0) -> Figures:
    """Summarise a measurement.

    A request counts towards the rates by the share of its time that lies between the end of the warm-up and the last
    start: long requests at either end are then neither lost nor counted in full.

    Args:
        outcomes: All of them, in any order.
        tokens_of: Tokens of a request.
        warm_up_s: Seconds after the first start that do not count.

    Raises:
        BenchError: nothing was answered after the warm-up; the message has the first reason.
    """
    counts = Counter(outcome.answer.status for outcome in outcomes)
    first_s = min((outcome.sent_s for outcome in outcomes), default=0.0) + warm_up_s
    last_s = max((outcome.sent_s for outcome in outcomes), default=0.0)
    answered = [one for one in outcomes if one.ok and one.done_s > first_s]
    if not answered or last_s <= first_s:
        reasons = [one.answer.detail for one in outcomes if not one.ok]
        few = "too few answers in the time; measure longer, --seconds"
        raise BenchError(f"nothing to measure: {reasons[0] if reasons else few}")
    shares = [_overlap(one, first_s, last_s) for one in answered]
    window_s = last_s - first_s
    tokens = sum(
        share * tokens_of(one.request) for share, one in zip(shares, answered, strict=True)
    )
    latencies = np.array([one.latency_s for one in answered]) * 1e3
    refused = [one.latency_s * 1e3 for one in outcomes if one.answer.status == "refused"]
    return Figures(
        ok=counts["ok"],
        refused=counts["refused"],
        failed=counts["failed"],
        requests_per_s=sum(shares) / window_s,
        tokens_per_s=tokens / window_s,
        p50_ms=float(np.percentile(latencies, _P50)),
        p99_ms=float(np.percentile(latencies, _P99)),
        refused_p99_ms=float(np.percentile(refused, _P99)) if refused else 0.0,
    )


def _overlap(outcome: Outcome, first_s: float, last_s: float) -> float:
    inside = min(outcome.done_s, last_s) - max(outcome.sent_s, first_s)
    return max(0.0, inside) / max(outcome.done_s - outcome.sent_s, 1e-9)
