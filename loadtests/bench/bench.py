"""What every experiment is handed: settings, texts, servers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from loadtests.bench.corpus import Corpus
from loadtests.bench.errors import BenchError
from loadtests.bench.fleet import Fleet
from loadtests.bench.generate import Request, requests_of
from loadtests.bench.peers import WEIGHTS
from loadtests.bench.workload import load_workload

SPECIALS: Final = 2
"""CLS and SEP, which every text is encoded with."""
_GATE_TEXTS: Final = 48


@dataclass(frozen=True, slots=True)
class Settings:
    """How long things may take.

    Attributes:
        rounds: Measurements of each side.
        seconds: Of one measurement.
        warm_up_s: Load on each side before its first measurement.
        tokens: Length of the document that `flat` reads.
        overload_s: Length of the overload.
        whole: Longest document that full attention is run over in whole; beyond, it is estimated from some rows.
        starts: Cold starts.
        before: Seconds of a cold start before, for comparison; None if unknown.
    """

    rounds: int = 3
    seconds: float = 5.0
    warm_up_s: float = 1.0
    tokens: int = 100_000
    overload_s: float = 60.0
    whole: int = 4096
    starts: int = 2
    before: float | None = None


@dataclass
class Bench:
    """A run.

    Attributes:
        settings: How long things may take.
        fleet: Its servers.
        folder: Where it writes what is not a report.
        say: Tells people how far it is.
    """

    settings: Settings
    fleet: Fleet
    folder: Path
    say: Callable[[str], None]
    _requests: dict[str, list[Request]] = field(default_factory=dict)

    @cached_property
    def corpus(self) -> Corpus:
        """The book, cut into words with their tokens."""
        return Corpus.of_the_book(WEIGHTS)

    def requests(self, workload: str) -> list[Request]:
        """Return the requests of a workload's data file."""
        if workload not in self._requests:
            self._requests[workload] = requests_of(load_workload(workload), self.corpus)
        return self._requests[workload]

    def gate_texts(self) -> list[str]:
        """Return texts of all lengths, on which servers must agree before their speeds are compared."""
        texts = {text for request in self.requests("mixed") for text in request.texts}
        ordered = sorted(texts, key=lambda text: (len(text), text))
        step = (len(ordered) - 1) / (_GATE_TEXTS - 1)
        return [ordered[round(index * step)] for index in range(_GATE_TEXTS)]

    def tokens_of(self, request: Request) -> int:
        """Return the tokens a request makes a server encode, CLS and SEP included."""
        return sum(self.corpus.count(text) + SPECIALS for text in request.texts)


def endless(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """Yield stateless requests, each a unit of its own, over and over.

    Raises:
        BenchError: there are none.
    """
    if not requests:
        raise BenchError("a workload without requests loads nothing")
    while True:
        for request in requests:
            yield (request,)
