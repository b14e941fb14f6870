"""One long document: does a chunk cost the same far into it as at its beginning, and does memory stay?"""

import itertools
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from loadtests.bench.bench import Bench
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments.base import Experiment
from loadtests.bench.generate import Request
from loadtests.bench.load import Answer
from loadtests.bench.peers import SESSIONS
from loadtests.bench.result import Curve, Result
from loadtests.bench.rounds import Spread, Verdict, ratio
from loadtests.bench.target import HttpTarget
from loadtests.bench.vectors import chunks_in
from service.cli.demo_reading import replica_bytes

_CHUNK: Final = 254
_GROUP: Final = 16
"""Chunks of a request on the way."""
_YOUNG: Final = 4
"""Chunks before a young session's measured one: about 1,000 tokens."""
_PAIRS: Final = 15
"""Pairs of a round."""
_SAMPLES: Final = 40
_FLAT: Final = 1.03
_GROWTH: Final = 1.01
"""Resident memory wavers by less: allocators and the Python runtime give back late."""
_PROMISED: Final = (1_000_000, 10_000_000)
"""Positions at which a chunk was promised to cost what it does at 1,000."""
_GUESSED_PER_S: Final = 3000.0
_MIB: Final = 2**20


@dataclass
class _Reader:
    """The long document, and what was seen on the way."""

    bench: Bench
    served: HttpTarget
    tokens: int = 0
    seq: int = 0
    latency: list[tuple[float, float]] = field(default_factory=list)
    resident: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._texts = self.bench.corpus.read(0, itertools.repeat(_CHUNK))
        self._young = itertools.count(1)

    async def read(self, goal: int) -> Spread:
        """Read on to a position; note each chunk's time, and memory now and then.

        Returns:
            Resident memory at the position over that after a tenth of the way.
        """
        begun, way = self.tokens, len(self.resident)
        every = (goal - begun) / _SAMPLES
        while self.tokens < goal:
            spent_s = await self._append(0, _GROUP)
            self.latency.append((float(self.tokens), spent_s * 1e3 / _GROUP))
            if begun + (len(self.resident) - way) * every <= self.tokens:
                size = replica_bytes(await self.served.text("/metrics"), SESSIONS)
                self.resident.append((float(self.tokens), size / _MIB))
        seen = self.resident[way:]
        return ratio([seen[-1][1]], [seen[len(seen) // 10][1]])

    async def pair(self) -> tuple[float, float]:
        """Return the seconds of a chunk here and of one at a young session's 1,000 tokens by turns."""
        number = next(self._young)
        await self.served.open_session(number)
        await self._send(Request(0.0, self._chunks(_YOUNG), number))
        old_s = await self._append(0, 1) if number % 2 else 0.0
        young = Request(0.0, self._chunks(1), number, _YOUNG)
        begun_s = time.perf_counter()
        await self._send(young)
        young_s = time.perf_counter() - begun_s
        return old_s or await self._append(0, 1), young_s

    async def _append(self, number: int, count: int) -> float:
        texts = self._chunks(count)
        begun_s = time.perf_counter()
        answer = await self._send(Request(0.0, texts, number, self.seq))
        spent_s = time.perf_counter() - begun_s
        expected = list(range(self.seq, self.seq + count))
        if chunks_in(answer.body)[0] != expected:
            raise BenchError(f"chunks {expected} came back under other numbers")
        self.seq += count
        self.tokens += sum(self.bench.corpus.count(text) for text in texts)
        return spent_s

    async def _send(self, request: Request) -> Answer:
        answer = await self.served.send(request)
        if answer.status != "ok":
            raise BenchError(f"an append failed: {answer.detail}")
        return answer

    def _chunks(self, count: int) -> tuple[str, ...]:
        return tuple(itertools.islice(self._texts, count))


def stops_of(tokens: int) -> list[int]:
    """Return where a document of some length is stopped at: promised positions on the way, and its end."""
    return [*(stop for stop in _PROMISED if stop < tokens), tokens]


async def _flat(bench: Bench, experiment: Experiment) -> Result:
    served = await bench.fleet.ours()
    await served.open_sessions([0])
    reader = _Reader(bench, served)
    rows: dict[str, dict[str, Spread]] = {}
    verdicts = []
    for stop in stops_of(bench.settings.tokens):
        growth = await reader.read(stop)
        reached = reader.tokens
        old, young = await _pairs(reader, bench.settings.rounds)
        rows |= {
            f"at {reached:,} tokens": {"p50_ms": Spread.of(old)},
            f"at 1,000, in turns with {reached:,}": {"p50_ms": Spread.of(young)},
        }
        flat, constant = (_FLAT, _GROWTH) if stop >= _PROMISED[0] else (None, None)
        what = f"a chunk at token {reached:,} over one at 1,000"
        verdicts.append(Verdict(what, ratio(old, young), flat, at_least=False))
        what = f"resident memory at token {reached:,} over a tenth of the way there"
        verdicts.append(Verdict(what, growth, constant, at_least=False))
    return Result(
        experiment.name,
        experiment.title,
        rows,
        verdicts,
        curves=[
            Curve("append", "tokens read", "ms a chunk", tuple(reader.latency)),
            Curve("replica", "tokens read", "resident MiB", tuple(reader.resident)),
        ],
        missing=[
            f"a chunk at token {stop:,}: --tokens {stop} --minutes {5 + _seconds(stop) / 60:.0f}"
            for stop in _PROMISED
            if stop > bench.settings.tokens
        ],
    )


async def _pairs(reader: _Reader, rounds: int) -> tuple[list[float], list[float]]:
    """Return each round's median milliseconds of a chunk here, and of one at 1,000 tokens."""
    old, young = [], []
    for _ in range(rounds):
        pairs = [await reader.pair() for _ in range(_PAIRS)]
        old.append(median(pair[0] for pair in pairs) * 1e3)
        young.append(median(pair[1] for pair in pairs) * 1e3)
    return old, young


def _seconds(tokens: int) -> float:
    return tokens / _GUESSED_PER_S


FLAT: Final = Experiment(
    "flat",
    "one document read to its end: a chunk there beside a chunk at 1,000 tokens, in turns",
    _flat,
    lambda settings: (
        _seconds(settings.tokens) + len(stops_of(settings.tokens)) * settings.rounds * _PAIRS * 0.5
    ),
)
