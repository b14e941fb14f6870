"""More replicas, more load than there is capacity, and the start."""

import asyncio
import contextlib
import time
from dataclasses import replace
from functools import partial
from typing import Final

from loadtests.bench.bench import Bench, endless
from loadtests.bench.experiments.base import Experiment, Load, compared
from loadtests.bench.generate import Request, at_rate
from loadtests.bench.load import closed_loop, open_loop
from loadtests.bench.measure import Figures, figures
from loadtests.bench.peers import STATELESS, longstream
from loadtests.bench.result import Result, rows_of
from loadtests.bench.rounds import Spread, Verdict, alternate
from loadtests.bench.servers import Server
from loadtests.bench.target import HttpTarget

_BUSY: Final = 32
_TWO_OVER_ONE: Final = 1.8
_OVER: Final = 5
_GOODPUT: Final = 0.90
_REFUSAL_MS: Final = 50.0
_NORMAL_S: Final = 10.0
_NORMAL: Final = 1.5
"""Latency is back to normal below this many times what it was."""
_GROWTH: Final = 1.05
_PROMISED_S: Final = 120.0
_POLL_S: Final = 0.05


async def _replicas(bench: Bench, experiment: Experiment) -> Result:
    """Start two services of their own: one thread each, one replica or two."""
    names = {"one replica": 1, "two replicas": 2}
    sides = {}
    units = partial(endless, bench.requests("mixed"))
    try:
        for name, count in names.items():
            model = {"id": STATELESS, "attention": STATELESS, "replicas": count}
            settings = {"models": [model], "serve_models": [STATELESS], "engine": {"threads": 1}}
            folder = bench.folder / "data" / name.replace(" ", "-")
            target = await bench.fleet.start(longstream(name, folder, settings))
            sides[name] = Load(bench, target, units, _BUSY)
        rounds = await alternate(sides, bench.settings.rounds)
    finally:
        for name in names:
            await bench.fleet.stop(name)
    value = compared(rounds, "tokens_per_s", "two replicas", "one replica")
    return Result(
        experiment.name,
        experiment.title,
        rows_of(rounds),
        [Verdict("tokens/s, two replicas over one", value, _TWO_OVER_ONE)],
    )


async def _overload(bench: Bench, experiment: Experiment) -> Result:
    """Send five times what the service can do, then see whether it is itself again."""
    served = await bench.fleet.ours()
    processes = bench.fleet.server(served.name)
    peak = await Load(bench, served, partial(endless, bench.requests("mixed")), _BUSY)()
    normal = await _lone(bench, served)
    before = processes.resident_bytes()
    per_s = _OVER * peak.requests_per_s
    planned = _arrivals(bench, per_s, bench.settings.overload_s)
    flooded = figures(await open_loop(planned, served.send), bench.tokens_of)
    recovered_s = await _recovery_s(bench, served, normal)
    growth = processes.resident_bytes() / before
    short = bench.settings.overload_s < _PROMISED_S
    one = {
        "goodput over peak": (flooded.tokens_per_s / peak.tokens_per_s, _GOODPUT, True),
        "p99 of refusals, ms": (flooded.refused_p99_ms, _REFUSAL_MS, False),
        "seconds until latency is normal": (recovered_s, _NORMAL_S, False),
        "resident memory, after over before": (growth, _GROWTH, False),
    }
    rows = {"closed loop": [peak], "five times that": [flooded], "one at a time": [normal]}
    return Result(
        experiment.name,
        experiment.title,
        rows_of(rows),
        [
            Verdict(what, Spread.of([value]), None if short else bound, at_least=at_least)
            for what, (value, bound, at_least) in one.items()
        ],
        notes=[
            (
                f"{len(planned)} requests in {bench.settings.overload_s:.0f} s: {flooded.ok} answered, "
                f"{flooded.refused} refused, {flooded.failed} failed"
            )
        ],
        missing=[f"shorter than promised: --overload-s {_PROMISED_S:.0f}"] if short else (),
    )


def _arrivals(bench: Bench, per_s: float, seconds: float) -> list[Request]:
    """Return mixed requests at a rate for so long, the workload over and over."""
    once = at_rate(bench.requests("mixed"), per_s)
    length_s = once[-1].at_s + 1 / per_s
    repeats = int(seconds / length_s) + 1
    planned = [
        replace(request, at_s=request.at_s + turn * length_s)
        for turn in range(repeats)
        for request in once
    ]
    return [request for request in planned if request.at_s < seconds]


async def _lone(bench: Bench, served: HttpTarget) -> Figures:
    units = endless(bench.requests("chat"))
    return figures(await closed_loop(units, served.send, 1, 2.0), bench.tokens_of)


async def _recovery_s(bench: Bench, served: HttpTarget, normal: Figures) -> float:
    """Return the seconds until a query takes about as long as it used to; gives up after three times the bound."""
    begun_s = time.perf_counter()
    queries = endless(bench.requests("chat"))
    while (spent_s := time.perf_counter() - begun_s) < 3 * _NORMAL_S:
        sent_s = time.perf_counter()
        answer = await served.send(next(queries)[0])
        took_ms = (time.perf_counter() - sent_s) * 1e3
        if answer.status == "ok" and took_ms <= _NORMAL * normal.p99_ms:
            return spent_s
        await asyncio.sleep(_POLL_S)
    return spent_s


async def _cold_start(bench: Bench, experiment: Experiment) -> Result:
    """Time `longstream serve` until a vector is there."""
    seconds = []
    for number in range(bench.settings.starts):
        name = f"start-{number}"
        launch = longstream(name, bench.folder / "data" / name)
        log = bench.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        server = Server.start(name, launch.command, launch.variables, log)
        target = HttpTarget(name, server.url, launch.embed_path, launch.model)
        try:
            await asyncio.to_thread(server.wait, launch.ready_path, log)
            await target.vectors(["ready"])
            seconds.append(time.perf_counter() - server.begun_s)
        finally:
            await target.close()
            with contextlib.suppress(ProcessLookupError):
                await asyncio.to_thread(server.stop)
    before = bench.settings.before
    verdicts = []
    if before is not None:
        shares = Spread.of([one / before for one in seconds])
        verdicts.append(Verdict("seconds, now over before", shares))
    notes = [f"before: {before} s"] if before is not None else []
    rows = {"longstream": {"seconds": Spread.of(seconds)}}
    return Result(experiment.name, experiment.title, rows, verdicts, notes=notes)


REPLICAS: Final = Experiment(
    "replicas",
    "two replicas with a thread each beside one, single texts at concurrency 32",
    _replicas,
    lambda settings: 2 * settings.rounds * (settings.seconds + 2) + 60,
)
OVERLOAD: Final = Experiment(
    "overload",
    "five times more arrivals than can be served",
    _overload,
    lambda settings: settings.overload_s + settings.seconds + 45,
)
COLD_START: Final = Experiment(
    "cold-start",
    "from `longstream serve` to the first vector",
    _cold_start,
    lambda settings: 30 * settings.starts,
)
