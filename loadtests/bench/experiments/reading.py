"""One long document: does a chunk cost the same at its end as at its beginning, and does memory stay?"""

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
_PROMISED_TOKENS: Final = 1_000_000
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

    async def read(self) -> None:
        """Read the document; note a chunk's time at every position, and memory now and then."""
        goal = self.bench.settings.tokens
        every = max(1, goal // _SAMPLES)
        while self.tokens < goal:
            spent_s = await self._append(0, _GROUP)
            self.latency.append((float(self.tokens), spent_s * 1e3 / _GROUP))
            if len(self.resident) * every <= self.tokens:
                size = replica_bytes(await self.served.text("/metrics"), SESSIONS)
                self.resident.append((float(self.tokens), size / _MIB))

    async def pair(self) -> tuple[float, float]:
        """Return the seconds of one chunk at the document's end and of one at a young session's 1,000 tokens."""
        number = next(self._young)
        await self.served.open_session(number)
        await self._send(Request(0.0, self._chunks(_YOUNG), number))
        begun_s = time.perf_counter()
        await self._send(Request(0.0, self._chunks(1), number, _YOUNG))
        young_s = time.perf_counter() - begun_s
        return await self._append(0, 1), young_s

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


async def _flat(bench: Bench, experiment: Experiment) -> Result:
    served = await bench.fleet.ours()
    await served.open_sessions([0])
    reader = _Reader(bench, served)
    await reader.read()
    reached = reader.tokens
    old, young = [], []
    for _ in range(bench.settings.rounds):
        pairs = [await reader.pair() for _ in range(_PAIRS)]
        old.append(median(pair[0] for pair in pairs) * 1e3)
        young.append(median(pair[1] for pair in pairs) * 1e3)
    sides = {"at the end, ms": old, "at 1,000 tokens, ms": young}
    what = f"a chunk at token {reached:,} over one at 1,000"
    short = reached < _PROMISED_TOKENS
    return Result(
        experiment.name,
        experiment.title,
        {side: {"p50_ms": Spread.of(values)} for side, values in sides.items()},
        [
            Verdict(what, ratio(old, young), None if short else _FLAT, at_least=False),
            Verdict("resident memory, end over a tenth", _growth(reader.resident)),
        ],
        curves=[
            Curve("append", "tokens read", "ms a chunk", tuple(reader.latency)),
            Curve("replica", "tokens read", "resident MiB", tuple(reader.resident)),
        ],
        missing=[f"read to token {reached:,} only: --tokens {_PROMISED_TOKENS}"] if short else (),
    )


def _growth(resident: list[tuple[float, float]]) -> Spread:
    """Return memory at the end over that after a tenth of the document."""
    return ratio([resident[-1][1]], [resident[len(resident) // 10][1]])


FLAT: Final = Experiment(
    "flat",
    "one document read to its end: a chunk there beside a chunk at 1,000 tokens, in turns",
    _flat,
    lambda settings: settings.tokens / _GUESSED_PER_S + settings.rounds * _PAIRS * 0.5,
)
