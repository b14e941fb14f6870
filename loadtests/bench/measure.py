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


def figures(outcomes: Sequence[Outcome], tokens_of: TokensOf) -> Figures:
    """Summarise a measurement.

    Rates are over the whole time from the first start to the last answer: whatever was begun is finished and counted,
    so neither long requests at the end nor a full queue at the beginning favour anybody.

    Args:
        outcomes: All of them, in any order.
        tokens_of: Tokens of a request.

    Raises:
        BenchError: nothing was answered; the message has the first reason.
    """
    counts = Counter(outcome.answer.status for outcome in outcomes)
    answered = [one for one in outcomes if one.ok]
    if not answered:
        reason = next((one.answer.detail for one in outcomes), "nothing was sent")
        raise BenchError(f"nothing was answered: {reason}")
    window_s = max(one.done_s for one in outcomes) - min(one.sent_s for one in outcomes)
    latencies = np.array([one.latency_s for one in answered]) * 1e3
    refused = [one.latency_s * 1e3 for one in outcomes if one.answer.status == "refused"]
    return Figures(
        ok=counts["ok"],
        refused=counts["refused"],
        failed=counts["failed"],
        requests_per_s=len(answered) / window_s,
        tokens_per_s=sum(tokens_of(one.request) for one in answered) / window_s,
        p50_ms=float(np.percentile(latencies, _P50)),
        p99_ms=float(np.percentile(latencies, _P99)),
        refused_p99_ms=float(np.percentile(refused, _P99)) if refused else 0.0,
    )
