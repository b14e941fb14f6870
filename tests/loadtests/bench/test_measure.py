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
    found = figures([outcome(index, index + 1) for index in range(11)], ten)
    assert found.requests_per_s == pytest.approx(1)
    assert found.tokens_per_s == pytest.approx(10)
    assert (found.ok, found.refused, found.failed) == (11, 0, 0)


def test_long_requests_at_the_ends_count_by_their_share():
    # Two workers with requests of 4 s: 0.5 a second, whenever the window begins and ends.
    requests = [outcome(start, start + 4) for first in (0, 2) for start in range(first, 22, 4)]
    for warm_up_s in (0.0, 1.0, 5.0, 6.5):
        found = figures(requests, ten, warm_up_s)
        assert found.requests_per_s == pytest.approx(0.5, abs=0.06)


def test_what_ended_in_the_warm_up_does_not_count():
    slow_start = [outcome(0, 3), outcome(3, 4), outcome(4, 5), outcome(5, 6)]
    found = figures(slow_start, ten, warm_up_s=3)
    assert found.p99_ms == pytest.approx(1000)
    assert found.requests_per_s == pytest.approx(1)


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
    with pytest.raises(BenchError, match="too few"):
        figures([], ten)
