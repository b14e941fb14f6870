"""The batching policy, simulated."""

from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue import FairQueue


def job(name: str, costs: list[int]) -> list[tuple[str, int]]:
    return [(f"{name}{i}", cost) for i, cost in enumerate(costs)]


def test_jobs_take_turns():
    queue: FairQueue[str] = FairQueue()
    queue.add(job("a", [10, 10, 10]))
    queue.add(job("b", [10]))
    assert queue.take(30) == ["a0", "b0", "a1"]
    assert queue.take(30) == ["a2"]
    assert not queue


def test_a_short_query_rides_in_the_next_step_of_a_bulk_upload():
    queue: FairQueue[str] = FairQueue()
    queue.add(job("bulk", [256] * 100))
    queue.take(2048)
    queue.add(job("query", [12]))
    assert "query0" in queue.take(2048)


def test_an_item_over_the_budget_still_runs_alone():
    queue: FairQueue[str] = FairQueue()
    queue.add(job("big", [5000]))
    queue.add(job("small", [5]))
    assert queue.take(2048) == ["big0"]
    assert queue.take(2048) == ["small0"]


def test_a_round_is_the_next_item_of_each_job():
    queue: FairQueue[str] = FairQueue()
    long = queue.add(job("a", [10, 20, 30]))
    queue.add(job("b", [5]))
    queue.add([])
    assert queue.round_tokens == 15
    assert queue.take(15) == ["a0", "b0"]
    assert queue.round_tokens == 20
    queue.cancel(long)
    assert queue.round_tokens == 0


def test_cancelling_forgets_what_waits():
    queue: FairQueue[str] = FairQueue()
    cancelled = queue.add(job("a", [10, 10]))
    queue.add(job("b", [10]))
    assert queue.take(10) == ["a0"]
    queue.cancel(cancelled)
    queue.cancel(cancelled)
    assert queue.tokens == 10
    assert queue.take(100) == ["b0"]
    assert queue.tokens == 0


@given(
    st.lists(st.lists(st.integers(1, 300), max_size=6), max_size=6),
    st.integers(1, 1000),
)
def test_everything_runs_once_in_the_order_of_its_job_within_budget(costs, budget):
    queue: FairQueue[tuple[int, int]] = FairQueue()
    for j, job_costs in enumerate(costs):
        queue.add([((j, i), cost) for i, cost in enumerate(job_costs)])
    ran: list[tuple[int, int]] = []
    while queue:
        step = queue.take(budget)
        spent = [costs[j][i] for j, i in step]
        assert len(step) == 1 or sum(spent) <= budget
        ran += step
    assert sorted(ran) == [
        (j, i) for j, job_costs in enumerate(costs) for i in range(len(job_costs))
    ]
    for j in range(len(costs)):
        assert [i for k, i in ran if k == j] == list(range(len(costs[j])))
    assert queue.tokens == 0
