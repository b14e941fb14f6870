from collections.abc import Sequence

import numpy as np
import orjson
import pytest

from loadtests.bench.checks import check_alone, check_order
from loadtests.bench.errors import BenchError
from loadtests.bench.generate import Request
from loadtests.bench.load import Answer, Outcome
from loadtests.bench.vectors import Vectors


def embedded(text: str) -> list[float]:
    return [float(len(text)), 1.0]


class Alone:
    name = "alone"

    async def send(self, _: Request) -> Answer:
        raise AssertionError

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        return np.array([embedded(text) for text in texts], dtype=np.float32)


def outcome(request: Request, body: object, status: str = "ok") -> Outcome:
    answer = Answer("ok" if status == "ok" else "failed", orjson.dumps(body))
    return Outcome(request, 0.0, 0.0, 1.0, answer)


def batch(index: int, wrong: int | None = None) -> Outcome:
    texts = tuple("x" * (index + place + 1) for place in range(4))
    rows = [
        {"index": place, "embedding": [0.0, -1.0] if place == wrong else embedded(text)}
        for place, text in enumerate(texts)
    ]
    return outcome(Request(0.0, texts), {"data": rows})


async def test_answers_under_load_are_those_given_alone():
    assert (await check_alone(Alone(), [batch(index) for index in range(9)])).same


async def test_a_vector_in_anothers_place_is_found():
    # Every place of a request is looked at in some request of the sample.
    for wrong in range(4):
        found = await check_alone(Alone(), [batch(index, wrong) for index in range(8)])
        assert not found.same


async def test_nothing_to_check_is_an_error():
    with pytest.raises(BenchError, match="nothing"):
        await check_alone(Alone(), [])


def append(seqs: Sequence[int], first_seq: int) -> Outcome:
    request = Request(0.0, ("a", "b"), 3, first_seq)
    rows = [{"seq": seq, "embedding": [1.0, 2.0]} for seq in seqs]
    return outcome(request, {"chunks": rows})


def test_sequence_numbers_are_counted_or_refused():
    assert check_order([append([0, 1], 0), append([2, 3], 2), batch(1)]) == 4
    for wrong in ([2, 4], [3, 4], [2]):
        with pytest.raises(BenchError, match="session 3"):
            check_order([append(wrong, 2)])
