"""What is refused, and when to come again; simulated."""

from itertools import count

import pytest

from service.engine.admission import Admission
from service.engine.queue import FairQueue
from service.errors import Unavailable

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


def test_five_times_more_than_can_be_done_is_refused_without_idling_and_is_over_in_seconds():
    """Queries of 12 tokens at five times the capacity of 4,000 tokens a second, and a bulk upload among them."""
    queue: FairQueue[float] = FairQueue()
    admission = Admission(STEP, QUEUE, round_s=6.0)
    queue.add([(0.0, 256)] * 2048)  # half a million tokens
    clock, arrivals, done, waits, refused = 0.0, count(), 0, [], 0
    due = next(arrivals) * 12 / 20_000
    while clock < 120:
        while due <= clock:
            try:
                admission.admit([12], queue.tokens, queue.round_tokens)
                queue.add([(due, 12)])
            except Unavailable:
                refused += 1
            due = next(arrivals) * 12 / 20_000
        step = queue.take(STEP)
        tokens = sum(256 if since == 0.0 else 12 for since in step)
        seconds = tokens / 4000
        admission.ran(tokens, seconds)
        clock += seconds
        done += tokens
        waits += [clock - since for since in step if since]
    assert done >= 0.99 * 4000 * 120  # never idle
    assert refused > 0
    assert max(waits) < 10
    rest = 0.0
    while any(cost == 12 for job in queue._jobs for _, cost in job.items):
        rest += sum(256 if since == 0.0 else 12 for since in queue.take(STEP)) / 4000
    assert rest < 10
