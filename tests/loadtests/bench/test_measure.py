import pytest

from loadtests.bench.errors import BenchError
from loadtests.bench.generate import Request
from loadtests.bench.load import Answer, Outcome, Status
from loadtests.bench.measure import figures


def outcome(
    sent: float, done: float, status: Status = "ok", intended: float | None = None
) -> Outcome:
    answer = Answer(status, detail=f"why {status}")
    return Outcome(Request(0.0, ("a",)), sent if intended is None else intended, sent, done, answer)


def ten(_: Request) -> int:
    return 10


def test_a_steady_load_has_its_rate():
    found = figures([outcome(index, index + 1) for index in range(10)], ten)
    assert found.requests_per_s == pytest.approx(1)
    assert found.tokens_per_s == pytest.approx(10)
    assert (found.ok, found.refused, found.failed) == (10, 0, 0)


def test_a_queue_of_eight_on_one_worker_has_the_workers_rate():
    # Work of 1 s each, eight under way from the first moment on: request k begins when k - 8 ends.
    queued = [outcome(max(0, k - 8), k) for k in range(1, 25)]
    assert figures(queued, ten).requests_per_s == pytest.approx(1)


def test_the_end_of_long_requests_counts_with_them():
    assert figures([outcome(0, 4), outcome(2, 10)], ten).tokens_per_s == pytest.approx(2)


def test_latency_is_from_the_intended_start_and_only_of_answers():
    requests = [outcome(index, index + 1, intended=index - 1) for index in range(4)]
    requests.append(outcome(3, 3.02, "refused"))
    found = figures(requests, ten)
    assert found.p50_ms == pytest.approx(2000)
    assert found.refused_p99_ms == pytest.approx(20)
    assert found.refused == 1


def test_nothing_answered_is_an_error_with_the_reason():
    with pytest.raises(BenchError, match="why failed"):
        figures([outcome(0, 1, "failed"), outcome(1, 2, "failed")], ten)
    with pytest.raises(BenchError, match="nothing was sent"):
        figures([], ten)
