from collections.abc import Awaitable, Callable

import pytest

from loadtests.bench.errors import BenchError
from loadtests.bench.rounds import Spread, Verdict, alternate, ratio


def test_a_ratio_is_taken_round_by_round():
    # A disturbance that halves both sides of a round leaves its ratio alone.
    assert ratio([10, 5, 10], [5, 2.5, 4]) == Spread(2, 2, 2.5, 3)


@pytest.mark.parametrize(("ours", "theirs"), [([1], [0]), ([1, 2], [1]), ([], [])])
def test_there_is_no_ratio_to_nothing(ours, theirs):
    with pytest.raises(BenchError):
        ratio(ours, theirs)


@pytest.mark.parametrize(
    ("value", "bound", "at_least", "met"),
    [
        (2, 1.8, True, True),
        (1.7, 1.8, True, False),
        (0.5, 0.6, False, True),
        (0.7, 0.6, False, False),
        (9, None, True, None),
    ],
)
def test_a_verdict_compares_the_median(value, bound, at_least, met):
    assert Verdict("", Spread(value, 0, 99, 3), bound, at_least).met is met


async def test_sides_take_turns_and_each_is_first_once():
    seen: list[str] = []

    def side(name: str) -> Callable[[], Awaitable[int]]:
        async def measure() -> int:
            seen.append(name)
            return len(seen)

        return measure

    found = await alternate({name: side(name) for name in "abc"}, 3)
    assert "".join(seen) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


async def test_a_side_that_fails_is_left_out_with_the_reason():
    async def well() -> int:
        return 1

    async def ill() -> int:
        raise BenchError("fell over")

    lost: dict[str, str] = {}
    assert await alternate({"a": well, "b": ill, "c": well}, 2, lost) == {"a": [1, 1], "c": [1, 1]}
    assert lost == {"b": "fell over"}
    for sides, given in (({"a": ill, "b": well}, {}), ({"a": well, "b": ill}, None)):
        with pytest.raises(BenchError, match="fell over"):
            await alternate(sides, 2, given)
