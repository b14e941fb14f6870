import pytest

from service.sessions.retention import Retention
from tests.service.sessions.bench import Bench
from tests.service.sessions.fakes import TENANT, command


@pytest.mark.parametrize(
    ("answers", "index_chunks", "indexed", "expected"),
    [
        (None, 4, True, 0),
        (2, 4, False, 8),
        (2, 4, True, 6),
        (6, 4, True, 4),
    ],
)
def test_a_search_keeps_the_answers_it_needs(answers, index_chunks, indexed, expected):
    retention = Retention(answers, index_chunks)
    assert retention.forget_before(10, 9, indexed=indexed) == expected
    # The request's own answers stay, whatever else goes.
    assert retention.forget_before(10, 1, indexed=indexed) == min(1, expected)


def test_every_so_many_chunks_a_snapshot():
    retention = Retention(snapshots=2, snapshot_every=3)
    assert [retention.snapshots_at(seq) for seq in range(1, 8)] == [0, 0, 2, 0, 0, 2, 0]
    assert [Retention().snapshots_at(seq) for seq in (1, 2)] == [0, 0]


async def test_appends_keep_the_newest_snapshots_and_they_are_the_states_of_then():
    bench = await Bench(retention=Retention(snapshots=2, snapshot_every=2)).begin()
    states = {}
    for seq in range(7):
        await bench.append(command(f"chunk {seq}", first=seq))
        row = await bench.store.get_with_state(TENANT, "s")
        assert row is not None
        states[seq + 1] = row[1]
    assert await bench.store.snapshots(TENANT, "s") == [4, 6]
    for seq in (4, 6):
        assert await bench.store.snapshot(TENANT, "s", seq) == states[seq]
