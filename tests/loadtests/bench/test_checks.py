from collections.abc import Sequence

import numpy as np
import orjson
import pytest

from loadtests.bench.checks import check_alone, check_fork, check_order
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


class Continues:
    """A server of sessions whose vectors tell how many characters were read so far."""

    def __init__(self) -> None:
        self.read: dict[int | None, int] = {}

    async def open_sessions(self, sessions: Sequence[int]) -> None:
        self.read = dict.fromkeys(sessions, 0)

    async def send(self, request: Request) -> Answer:
        if request.parent is not None:
            self.read[request.session] = self.read[request.parent]
            return Answer("ok")
        rows = []
        for place, text in enumerate(request.texts):
            self.read[request.session] += len(text)
            vector = [float(self.read[request.session]), 1.0]
            rows.append({"seq": request.first_seq + place, "embedding": vector})
        return Answer("ok", orjson.dumps({"chunks": rows}))


FAMILY = [
    Request(0.0, ("a", "bb"), 0, 0),
    Request(0.0, ("ccc", "d"), 0, 2),
    Request(0.0, (), 1, 2, parent=0),
    Request(0.0, ("e", "fffff"), 1, 2),
]


async def forked(server: Continues) -> list[Outcome]:
    await server.open_sessions([0])
    # The fork is taken before its parent reads on.
    order = [FAMILY[0], FAMILY[2], FAMILY[1], FAMILY[3]]
    return [Outcome(request, 0.0, 0.0, 1.0, await server.send(request)) for request in order]


async def test_a_fork_reads_on_from_its_parents_past():
    server = Continues()
    found = await check_fork(server, await forked(server))
    assert (found.same, found.texts) == (True, 4)


async def test_a_fork_that_lost_its_past_is_found():
    class Forgets(Continues):
        async def send(self, request: Request) -> Answer:
            answer = await super().send(request)
            if request.parent is not None:
                self.read[request.session] = 0
            return answer

    server = Forgets()
    assert not (await check_fork(server, await forked(server))).same


async def test_without_a_fork_there_is_nothing_to_check():
    server = Continues()
    with pytest.raises(BenchError, match="no fork"):
        await check_fork(server, (await forked(server))[:1])
