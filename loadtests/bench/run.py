"""Running experiments one after the other, within a number of minutes."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench.bench import Bench, Settings
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments import EXPERIMENTS
from loadtests.bench.experiments.base import Experiment
from loadtests.bench.fleet import Fleet
from loadtests.bench.neighbours import Neighbours
from loadtests.bench.peers import OURS, Peers, longstream
from loadtests.bench.result import Result


def chosen(names: Sequence[str]) -> list[Experiment]:
    """Return the experiments of some names, all of them without any, in the order in which they run.

    Raises:
        BenchError: there is no such experiment.
    """
    unknown = ", ".join(sorted(set(names) - set(EXPERIMENTS)))
    if unknown:
        raise BenchError(f"no experiment is called {unknown}; there are {', '.join(EXPERIMENTS)}")
    return [one for name, one in EXPERIMENTS.items() if not names or name in names]


def fits(experiment: Experiment, settings: Settings, left_s: float) -> bool:
    """Tell whether an experiment would end in time."""
    return experiment.cost_s(settings) <= left_s


async def run(experiments: Sequence[Experiment], bench: Bench, deadline_s: float) -> list[Result]:
    """Run experiments; one that fails or has no time left is in the report with the reason.

    Args:
        experiments: What to run.
        bench: What they share.
        deadline_s: When to be done, on the clock of `time.perf_counter`.
    """
    results = []
    for experiment in experiments:
        left_s = deadline_s - time.perf_counter()
        if not fits(experiment, bench.settings, left_s):
            reason = f"needs {experiment.cost_s(bench.settings):.0f} s and {left_s:.0f} s were left"
            results.append(Result(experiment.name, experiment.title, skipped=reason))
            bench.say(f"{experiment.name}: {reason}")
            continue
        bench.say(f"{experiment.name}: {experiment.title}")
        results.append(await _one(experiment, bench))
    return results


async def _one(experiment: Experiment, bench: Bench) -> Result:
    begun_s = time.perf_counter()
    neighbours = Neighbours(bench.fleet.ended)
    try:
        found = await experiment.run(bench, experiment)
        result = replace(found, others=round(neighbours.share(), 3), when=_when(bench.settings))
    except BenchError as error:
        bench.say(f"  failed: {error}")
        return Result(experiment.name, experiment.title, skipped=str(error))
    except Exception as error:  # noqa: BLE001 - what the others found must not be lost with this one
        bench.say(traceback.format_exc())
        return Result(experiment.name, experiment.title, skipped=f"broke off: {error!r}")
    for verdict in result.verdicts:
        bench.say(f"  {verdict.value.median:.3g}  {verdict.what}")
    spent_s = time.perf_counter() - begun_s
    bench.say(f"  {spent_s:.0f} s, other programs used up to {result.others:.0%} of the cores")
    return result


def _when(settings: Settings) -> str:
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    rounds = f"{settings.rounds} rounds" if settings.rounds > 1 else "one round"
    return f"{made}, {rounds}, {settings.seconds:g} s a measurement"


async def run_all(
    experiments: Sequence[Experiment],
    settings: Settings,
    folder: Path,
    peers: tuple[str, ...],
    *,
    minutes: float,
    say: Callable[[str], None],
) -> list[Result]:
    """Run experiments with servers of their own, and stop those whatever happens.

    Args:
        experiments: What to run.
        settings: How long things may take.
        folder: Environments, data and logs; kept between runs.
        peers: Other servers to measure beside ours.
        minutes: For all of it, without what has to be installed first.
        say: Tells people how far it is.
    """
    ours = longstream(OURS, folder / "data" / OURS)
    makers = Peers(folder).makers(peers)
    async with Fleet(folder / "logs", ours, makers, say) as fleet:
        if any(experiment.beside for experiment in experiments):
            await fleet.install()
        bench = Bench(settings, fleet, folder, say)
        return await run(experiments, bench, time.perf_counter() + minutes * 60)
