"""What an experiment is, and what several of them do."""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtests.bench.bench import Bench, Settings
from loadtests.bench.errors import BenchError
from loadtests.bench.generate import Request
from loadtests.bench.load import Outcome, closed_loop
from loadtests.bench.measure import Figures, figures
from loadtests.bench.result import Result
from loadtests.bench.rounds import Spread, Verdict, ratio
from loadtests.bench.target import Target


@dataclass(frozen=True, slots=True)
class Experiment:
    """A measurement with a name.

    Attributes:
        name: How the command line calls it.
        title: It in a sentence.
        run: Measures.
        cost_s: About how long that takes, without starting or installing anything.
        beside: Whether other servers are measured, too.
    """

    name: str
    title: str
    run: Callable[[Bench, "Experiment"], Awaitable[Result]]
    cost_s: Callable[[Settings], float]
    beside: bool = False


@dataclass
class Load:
    """A closed loop on one side; keeps what came back last, for checks afterwards.

    Attributes:
        bench: The run.
        target: Who is asked.
        units: What is sent, made anew for each measurement.
        concurrency: Requests under way.
        prepare: Done before each measurement, e.g. opening sessions.
    """

    bench: Bench
    target: Target
    units: Callable[[], Iterable[Sequence[Request]]]
    concurrency: int
    prepare: Callable[[], Awaitable[None]] | None = None
    last: Sequence[Outcome] = ()

    async def __call__(self) -> Figures:
        """Measure once; the first time after a load that is not measured.

        Raises:
            BenchError: a request failed; a load that is not too high fails nothing.
        """
        if not self.last:
            await self._load(self.bench.settings.warm_up_s)
        self.last = await self._load(self.bench.settings.seconds)
        require_answered(self.last, self.target.name)
        return figures(self.last, self.bench.tokens_of)

    async def _load(self, seconds: float) -> list[Outcome]:
        if self.prepare is not None:
            await self.prepare()
        return await closed_loop(self.units(), self.target.send, self.concurrency, seconds)


def require_answered(outcomes: Iterable[Outcome], name: str) -> None:
    """Let nothing be measured beside work that was not done.

    Raises:
        BenchError: a request failed or was refused.
    """
    for one in outcomes:
        if not one.ok:
            raise BenchError(f"{name} failed under load: {one.answer.detail}")


def numbers_of(units: Iterable[Sequence[Request]]) -> list[int]:
    """Return the sessions that have to be opened: all but those that a fork begins."""
    requests = list(itertools.chain.from_iterable(units))
    forked = {one.session for one in requests if one.parent is not None}
    return sorted({one.session for one in requests if one.session is not None} - forked)


def compared(
    rounds: Mapping[str, Sequence[Figures]], figure: str, ours: str, theirs: str
) -> Spread:
    """Return the ratio of one figure between two sides."""
    return ratio(
        [float(getattr(found, figure)) for found in rounds[ours]],
        [float(getattr(found, figure)) for found in rounds[theirs]],
    )


def verdict(
    what: str, value: Spread, *, at_least: float | None = None, at_most: float | None = None
) -> Verdict:
    """Return a ratio with its bound."""
    if at_most is not None:
        return Verdict(what, value, at_most, at_least=False)
    return Verdict(what, value, at_least, at_least=True)
