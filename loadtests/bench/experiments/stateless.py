"""Without sessions: our service beside the servers people use, same weights, same requests, in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final

from loadtests.bench.bench import Bench, Settings, endless
from loadtests.bench.checks import check_alone
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments.base import Experiment, Load, compared
from loadtests.bench.generate import at_rate
from loadtests.bench.load import open_loop
from loadtests.bench.measure import Figures, figures
from loadtests.bench.peers import OURS
from loadtests.bench.result import Curve, Result, rows_of
from loadtests.bench.rounds import Verdict, alternate
from loadtests.bench.target import HttpTarget
from loadtests.bench.vectors import SAME

INFINITY: Final = "infinity-torch"
ENGINES: Final = (INFINITY, "infinity-ctranslate2", "infinity-onnx")
_SIDES: Final = 5
_SHARES: Final = (0.3, 0.6, 0.8, 0.95, 1.1)
"""Arrival rates of the curve, as shares of what a closed loop reaches."""
_CURVES: Final = 3
_BUSY: Final = 32


@dataclass(frozen=True, slots=True)
class Promise:
    """What is compared, and what was promised.

    Attributes:
        workload: Data file.
        concurrency: Requests under way.
        figure: Field of `Figures`.
        more_is_better: Whether the ratio should be at least its bound.
        infinity: Bound against infinity-emb's torch engine.
        fastest: Bound against its fastest engine; None where nothing was promised.
    """

    workload: str
    concurrency: int
    figure: str
    more_is_better: bool
    infinity: float
    fastest: float | None = None


async def _side_by_side(promise: Promise, bench: Bench, experiment: Experiment) -> Result:
    requests = bench.requests(promise.workload)
    targets = await bench.fleet.believed(bench.gate_texts())
    units = partial(endless, requests)
    sides = {
        name: Load(bench, target, units, promise.concurrency) for name, target in targets.items()
    }
    lost = dict(bench.fleet.absent)
    rounds = await alternate(sides, bench.settings.rounds, lost)
    for name in list(rounds):
        alone = await check_alone(targets[name], sides[name].last)
        if alone.same:
            continue
        why = f"under load a vector changed, cosine {alone.lowest:.5f} < {SAME}"
        if name == OURS:
            raise BenchError(why)
        lost[name] = why
        del rounds[name]
    notes = [f"{name} is left out: {why}" for name, why in lost.items()]
    return Result(
        experiment.name,
        experiment.title,
        rows_of(rounds),
        _verdicts(promise, rounds),
        dict(bench.fleet.agreements),
        notes,
        missing=[
            f"{name}: {lost.get(name, 'not asked for')}"
            for name in _needed(promise)
            if name not in rounds
        ],
    )


def _needed(promise: Promise) -> tuple[str, ...]:
    """Return whom something was promised against: the fastest engine is only known where all ran."""
    return (INFINITY,) if promise.fastest is None else ENGINES


def _verdicts(promise: Promise, rounds: Mapping[str, Sequence[Figures]]) -> list[Verdict]:
    """Compare ours with infinity-emb's torch engine, with its fastest, and with everybody else."""
    found: list[Verdict] = []
    fastest = fastest_engine(rounds, promise.figure, more_is_better=promise.more_is_better)
    ours = [name for name in rounds if name.startswith(OURS)]
    for own, name in product(ours, (name for name in rounds if name not in ours)):
        bound = promise.infinity if name == INFINITY else None
        if name == fastest and promise.fastest is not None and set(ENGINES) <= set(rounds):
            bound = max(promise.fastest, bound or 0.0)
        mark = ", its fastest engine" if name == fastest else ""
        value = compared(rounds, promise.figure, own, name)
        what = f"{promise.figure}, {own} over {name}{mark}"
        # What was promised is promised of the service as it comes.
        kept = bound if own == OURS else None
        found.append(Verdict(what, value, kept, at_least=promise.more_is_better))
    return sorted(found, key=lambda one: one.bound is None)


def fastest_engine(
    rounds: Mapping[str, Sequence[Figures]], figure: str, *, more_is_better: bool
) -> str | None:
    """Return which of infinity-emb's engines is best at a figure by its median; None if none ran."""
    medians = {
        name: sides[figure].median for name, sides in rows_of(rounds).items() if name in ENGINES
    }
    choose = max if more_is_better else min
    return choose(medians, key=medians.__getitem__) if medians else None


async def _curve(bench: Bench, experiment: Experiment) -> Result:
    """Latency against throughput: open arrivals at shares of what a closed loop reaches."""
    requests = bench.requests("mixed")
    curves, rows = [], {}
    notes = ["latency counts from the intended start; the peak is that of a closed loop at 32"]
    believed = await bench.fleet.believed(bench.gate_texts())
    for name, target in list(believed.items())[:_CURVES]:
        try:
            peak = await Load(bench, target, partial(endless, requests), _BUSY)()
            points = [await _point(bench, target, peak, share) for share in _SHARES]
        except BenchError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        rows[name] = [peak]
        for field, mark in (("p50_ms", "p50"), ("p99_ms", "p99")):
            pairs = tuple((one.requests_per_s, float(getattr(one, field))) for one in points)
            curves.append(Curve(f"{name} {mark}", "requests a second", "latency, ms", pairs))
    return Result(experiment.name, experiment.title, rows_of(rows), notes=notes, curves=curves)


async def _point(bench: Bench, target: HttpTarget, peak: Figures, share: float) -> Figures:
    per_s = peak.requests_per_s * share
    count = max(_BUSY, round(per_s * bench.settings.seconds))
    planned = at_rate(bench.requests("mixed"), per_s)[:count]
    # A document cut off at its end still has its pattern: starts are independent.
    return figures(await open_loop([replace(one) for one in planned], target.send), bench.tokens_of)


def _cost(settings: Settings) -> float:
    return _SIDES * settings.rounds * (settings.seconds + 3)


def _promised(name: str, title: str, promise: Promise) -> Experiment:
    return Experiment(name, title, partial(_side_by_side, promise), _cost, beside=True)


BATCHES: Final = _promised(
    "batches",
    "32 texts of mixed length a request, concurrency 8",
    Promise("batches", 8, "tokens_per_s", more_is_better=True, infinity=1.8, fastest=1.25),
)
QUERY: Final = _promised(
    "query",
    "one query of 12 tokens at a time",
    Promise("chat", 1, "p50_ms", more_is_better=False, infinity=0.6),
)
SINGLES: Final = _promised(
    "singles",
    "single texts of mixed length, concurrency 32",
    Promise("mixed", 32, "requests_per_s", more_is_better=True, infinity=1.8),
)
CURVE: Final = Experiment(
    "curve",
    "latency against throughput, single texts of mixed length arriving at random",
    _curve,
    lambda settings: _CURVES * (len(_SHARES) + 1) * (settings.seconds + 2),
    beside=True,
)
