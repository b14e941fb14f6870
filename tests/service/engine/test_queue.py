"""The batching policy, simulated."""

from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue import FairQueue, Job

STEP = 25


def job(name: str, costs: list[int]) -> list[tuple[str, int]]:
    return [(f"{name}{i}", cost) for i, cost in enumerate(costs)]


def test_jobs_take_turns():
    queue: FairQueue[str] = FairQueue(STEP)
    queue.add(job("a", [10, 10, 10]))
    queue.add(job("b", [10]))
    assert queue.take(30) == ["a0", "b0", "a1"]
    assert queue.take(30) == ["a2"]
    assert not queue


def test_a_short_query_rides_in_the_next_step_of_a_bulk_upload():
    queue: FairQueue[str] = FairQueue(STEP)
    queue.add(job("bulk", [256] * 100))
    queue.take(2048)
    queue.add(job("query", [12]))
    assert "query0" in queue.take(2048)


def test_a_job_of_small_items_has_as_many_tokens_of_a_step_as_one_of_large_items():
    queue: FairQueue[str] = FairQueue(2048)
    queue.add(job("large", [256] * 10))
    queue.add(job("small", [20] * 100))
    assert queue.take(512) == ["large0", *(f"small{i}" for i in range(12))]
    assert queue.take(276) == ["large1", "small12"]


def test_an_item_over_the_budget_still_runs_alone():
    queue: FairQueue[str] = FairQueue(STEP)
    queue.add(job("big", [5000]))
    queue.add(job("small", [5]))
    assert queue.take(2048) == ["big0"]
    assert queue.take(2048) == ["small0"]


def test_a_round_is_all_of_a_short_job_and_the_next_turn_of_a_long_one():
    queue: FairQueue[str] = FairQueue(STEP)
    long = queue.add(job("a", [10, 20, 30]))
    queue.add(job("b", [5, 20]))
    queue.add([])
    assert queue.round_tokens == 10 + 25
    assert queue.take(15) == ["a0", "b0"]
    assert queue.round_tokens == 20 + 25, "a short job counts until it is done"
    queue.cancel(long)
    assert queue.round_tokens == 25
    assert queue.take(20) == ["b1"]
    assert queue.round_tokens == 0


def test_one_job_counts_no_more_than_can_be_divided():
    queue: FairQueue[str] = FairQueue(STEP)
    queue.add(job("a", [10] * 100))
    queue.add(job("b", [10, 5]))
    assert queue.tokens_up_to(STEP) == 25 + 15
    queue.take(10)
    assert queue.tokens_up_to(STEP) == 25 + 15
    assert queue.tokens_up_to(5000) == queue.tokens == 1005


def test_cancelling_forgets_what_waits():
    queue: FairQueue[str] = FairQueue(STEP)
    cancelled = queue.add(job("a", [10, 10]))
    queue.add(job("b", [10]))
    assert queue.take(10) == ["a0"]
    queue.cancel(cancelled)
    queue.cancel(cancelled)
    assert queue.tokens == 10
    assert queue.take(100) == ["b0"]
    assert queue.tokens == 0


def test_finishing_takes_no_longer_where_thousands_wait():
    """Neither a step that ends jobs nor the cancelling of ended ones looks at all the others."""
    compared = 0

    class Watched(Job[str]):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = Job.__hash__

    queue: FairQueue[str] = FairQueue(STEP)
    jobs = [queue.add(job(str(i), [10])) for i in range(1000)]
    for one in jobs:
        one.__class__ = Watched
    queue.take(500)
    for one in jobs[:50]:
        queue.cancel(one)
    assert compared == 0
    assert queue.tokens == 9500


@given(
    st.lists(st.lists(st.integers(1, 300), max_size=6), max_size=6),
    st.integers(1, 1000),
)
def test_everything_runs_once_in_the_order_of_its_job_within_budget(costs, budget):
    queue: FairQueue[tuple[int, int]] = FairQueue(STEP)
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
