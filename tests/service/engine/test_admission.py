"""What is refused, and when to come again; simulated."""

import contextlib

import pytest

from service.engine.admission import Admission
from service.engine.queue import FairQueue
from service.errors import RoundFull, Unavailable

STEP, QUEUE, ROUND = 2048, 262_144, 24_000


@pytest.fixture
def admission() -> Admission:
    """Return one that knows a machine of 4,000 tokens a second."""
    found = Admission(STEP, QUEUE, round_s=6.0)
    found.ran(4000, 1.0)
    return found


def test_anything_is_let_in_where_nobody_waits(admission):
    admission.admit([512] * 2048, 0, 0)


@pytest.mark.parametrize(
    ("costs", "waiting", "one_round"),
    [
        ([12], 2048 * 512, 512),  # short work, however much of one upload waits
        ([256] * 8, QUEUE, 256),
        ([256] * 9, QUEUE - 9 * 256, 256),
        ([], 100, 100),
        ([256], ROUND - 256, ROUND - 256),
    ],
)
def test_what_is_let_in(admission, costs, waiting, one_round):
    admission.admit(costs, waiting, one_round)


@pytest.mark.parametrize(
    ("costs", "waiting", "one_round"),
    [
        ([256] * 9, QUEUE - 9 * 256 + 1, 256),  # long work, and too much waits
        ([12], ROUND, ROUND - 11),  # nobody could be served in time
        ([256] * 9, ROUND, ROUND - 255),
    ],
)
def test_what_is_refused(admission, costs, waiting, one_round):
    with pytest.raises(Unavailable) as refused:
        admission.admit(costs, waiting, one_round)
    assert refused.value.code == "overloaded"
    assert refused.value.extras == {"retry_after_s": 1}


def test_a_slow_machine_takes_less_and_never_less_than_four_steps():
    fresh = Admission(STEP, QUEUE, round_s=6.0)
    slow = Admission(STEP, QUEUE, round_s=6.0)
    slow.ran(100, 1.0)
    for admission in (fresh, slow):
        admission.admit([12], 1, 4 * STEP - 12)
        with pytest.raises(Unavailable):
            admission.admit([12], 1, 4 * STEP - 11)


def test_when_to_come_again_follows_the_speed_of_steps(admission):
    for _ in range(50):
        admission.ran(1000, 1.0)
    with pytest.raises(Unavailable) as refused:
        admission.admit([5000], 1000 + QUEUE, 1000)
    assert refused.value.extras["retry_after_s"] == 6
    for _ in range(50):
        admission.ran(1, 10.0)
    with pytest.raises(Unavailable) as refused:
        admission.admit([5000], 1000 + QUEUE, 1000)
    assert refused.value.extras["retry_after_s"] == 30


@pytest.mark.parametrize("items", [1, 20, 100])
def test_five_times_more_than_can_be_done_is_refused_without_idling_and_is_over_in_seconds(items):
    """Short jobs at five times the capacity of 4,000 tokens a second, and a bulk upload among them."""
    queue: FairQueue[tuple[float, int]] = FairQueue(STEP)
    admission = Admission(STEP, QUEUE, round_s=6.0)
    queue.add([((0.0, 256), 256)] * 2048)  # half a million tokens
    clock, due, done, waits, refused, most = 0.0, 0.0, 0, [], 0, 0
    while clock < 120:
        while due <= clock:
            try:
                admission.admit([20] * items, queue.tokens, queue.round_tokens)
                queue.add([((due, 20), 20)] * items)
            except Unavailable:
                refused += 1
            due += items * 20 / 20_000
        most = max(most, queue.tokens)
        step = queue.take(STEP)
        tokens = sum(cost for _, cost in step)
        admission.ran(tokens, tokens / 4000)
        clock += tokens / 4000
        done += tokens
        waits += [clock - since for since, _ in step if since]
    assert done >= 0.99 * 4000 * 120  # never idle
    assert refused > 0
    assert most <= 2048 * 256 + ROUND
    assert max(waits) < 10
    while any(cost == 20 for job in queue._jobs for _, cost in job.items):
        clock += sum(cost for _, cost in queue.take(STEP)) / 4000
    assert clock < 120 + 10


def test_short_jobs_of_many_items_are_bounded_together(admission):
    queue: FairQueue[int] = FairQueue(STEP)
    queue.add([(0, 256)] * 9)
    for _ in range(1200):
        with contextlib.suppress(Unavailable):
            admission.admit([20] * 100, queue.tokens, queue.round_tokens)
            queue.add([(0, 20)] * 100)
    assert ROUND - 2000 < queue.tokens < ROUND + 9 * 256


def test_however_fast_a_machine_is_a_round_has_two_queues_at_most():
    fast = Admission(STEP, 10_000, round_s=600.0)
    fast.ran(1_000_000, 1.0)
    fast.admit([20], 1, 20_000 - 20)
    with pytest.raises(RoundFull):
        fast.admit([20], 1, 20_000 - 19)


def test_small_steps_do_not_hide_how_fast_large_ones_are():
    admission = Admission(STEP, QUEUE, round_s=6.0)
    for _ in range(100):
        admission.ran(2048, 0.5)
        for _ in range(3):
            admission.ran(3, 0.01)  # a probe: mostly what a step costs in any case
    admission.admit([12], 1, 20_000)


def test_a_job_of_more_than_may_wait_comes_in_while_less_does(admission):
    huge = [512] * (QUEUE // 512 + 1)
    admission.admit(huge, QUEUE - 1, 512)
    with pytest.raises(Unavailable) as refused:
        admission.admit(huge, QUEUE, 512)
    assert refused.value.extras == {"retry_after_s": 1}
    with pytest.raises(Unavailable):
        admission.admit([512] * 10, QUEUE - 1, 512)


@pytest.mark.parametrize(
    ("costs", "waiting", "one_round", "full"),
    [
        ([256] * 9, QUEUE, 256, False),  # a bulk upload: a query would be let in
        ([2000], ROUND, ROUND - 1999, False),  # a smaller one would be
        ([12], ROUND, ROUND - 11, True),
        ([256] * 9, QUEUE, ROUND, True),
    ],
)
def test_what_would_refuse_the_smallest_job_is_told_apart(
    admission, costs, waiting, one_round, full
):
    with pytest.raises(Unavailable) as refused:
        admission.admit(costs, waiting, one_round)
    assert isinstance(refused.value, RoundFull) is full
