"""More replicas, more load than there is capacity, and the start."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from loadtests.bench.arithmetic import gemm_rate
from loadtests.bench.bench import Bench, endless
from loadtests.bench.experiments.base import Experiment, Load, compared
from loadtests.bench.generate import Request, at_rate
from loadtests.bench.load import closed_loop, open_loop
from loadtests.bench.measure import Figures, figures
from loadtests.bench.peers import STATELESS, WEIGHTS, longstream
from loadtests.bench.recovery import recovery_s
from loadtests.bench.result import Curve, Result, rows_of
from loadtests.bench.rounds import Spread, Verdict, alternate, ratio
from loadtests.bench.servers import Server
from loadtests.bench.target import HttpTarget
from models.config import AttentionOptions
from models.loading import load_encoder, use_threads

_BUSY: Final = 32
_EVERY: Final = "every variant"
_TWO: Final = "two variants"
_FEW: Final = 8
_TWO_OVER_ONE: Final = 1.8
_STEP: Final = 2048
_REPEATS: Final = 10
_OVER: Final = 5
_GOODPUT: Final = 0.90
_REFUSAL_MS: Final = 50.0
_NORMAL_S: Final = 10.0
_NORMAL: Final = 1.5
"""Latency is back to normal below this many times what it was."""
_GROWTH: Final = 1.05
_PROMISED_S: Final = 120.0
_MIB: Final = 2**20


async def _replicas(bench: Bench, experiment: Experiment) -> Result:
    """Start two services of their own: one thread each, one replica or two."""
    names = {"one replica": 1, "two replicas": 2}
    batches, singles = {}, {}
    try:
        for name, count in names.items():
            model = {"id": STATELESS, "attention": STATELESS, "replicas": count}
            settings = {"models": [model], "serve_models": [STATELESS], "engine": {"threads": 1}}
            folder = bench.folder / "data" / name.replace(" ", "-")
            target = await bench.fleet.start(longstream(name, folder, settings))
            batches[name] = Load(bench, target, partial(endless, bench.requests("batches")), _FEW)
            singles[name] = Load(bench, target, partial(endless, bench.requests("mixed")), _BUSY)
        rounds = await alternate(batches, bench.settings.rounds)
        rounds_of_singles = await alternate(singles, bench.settings.rounds)
    finally:
        for name in names:
            await bench.fleet.stop(name)
    value = compared(rounds, "tokens_per_s", "two replicas", "one replica")
    single = compared(rounds_of_singles, "tokens_per_s", "two replicas", "one replica")
    products = await asyncio.to_thread(_two_threads_over_one, bench.settings.rounds)
    rows = {name: rounds[name] for name in names}
    rows |= {f"{name}, single texts": rounds_of_singles[name] for name in names}
    return Result(
        experiment.name,
        experiment.title,
        rows_of(rows),
        [
            Verdict("tokens/s, two replicas over one", value, _TWO_OVER_ONE),
            Verdict("the same with single texts at concurrency 32", single),
            Verdict("this machine: matrix products with two threads over one", products),
        ],
        notes=["the client and the gateway share the cores with the replicas"],
    )


def _two_threads_over_one(rounds: int) -> Spread:
    """Return what a second core adds at best: clocks fall, and memory is shared."""
    config = load_encoder(STATELESS, WEIGHTS, AttentionOptions(), "none").encoder.config
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, found in rates.items():
            use_threads(threads)
            found.append(gemm_rate(config, _STEP, _REPEATS))
    return ratio(rates[2], rates[1])


async def _overload(bench: Bench, experiment: Experiment) -> Result:
    """Send five times what the service can do, then see whether it is itself again."""
    served = await bench.fleet.ours()
    processes = bench.fleet.server(served.name)
    peak = await Load(bench, served, partial(endless, bench.requests("mixed")), _BUSY)()
    normal = await _lone(bench, served)
    planned = _arrivals(bench, _OVER * peak.requests_per_s, bench.settings.overload_s)
    queries = endless(bench.requests("chat"))
    bound_s = _NORMAL * normal.p99_ms / 1e3
    async with asyncio.TaskGroup() as group:
        flood = group.create_task(open_loop(planned, served.send))
        calm = group.create_task(
            recovery_s(lambda: served.send(next(queries)[0]), bound_s, planned[-1].at_s)
        )
        watch = group.create_task(_watch(processes, planned[-1].at_s))
    flooded, sizes = figures(flood.result(), bench.tokens_of), watch.result()
    growth = sizes[-1][1] / sizes[len(sizes) // 4][1]
    short = bench.settings.overload_s < _PROMISED_S
    one = {
        "goodput over peak": (flooded.tokens_per_s / peak.tokens_per_s, _GOODPUT, True),
        "p99 of refusals, ms": (flooded.refused_p99_ms, _REFUSAL_MS, False),
        "seconds until latency is normal": (calm.result(), _NORMAL_S, False),
        "resident memory, end over a quarter": (growth, _GROWTH, False),
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
        curves=[Curve("all processes", "seconds of overload", "resident MiB", tuple(sizes))],
        missing=[f"shorter than promised: --overload-s {_PROMISED_S:.0f}"] if short else (),
    )


async def _watch(processes: Server, seconds: float) -> list[tuple[float, float]]:
    """Return seconds and resident MiB, at the beginning and then once a second."""
    begun_s = time.perf_counter()
    seen: list[tuple[float, float]] = []
    while not seen or seen[-1][0] < seconds:
        size = await asyncio.to_thread(processes.resident_bytes)
        seen.append((time.perf_counter() - begun_s, size / _MIB))
        await asyncio.sleep(1.0)
    return seen


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


async def _cold_start(bench: Bench, experiment: Experiment) -> Result:
    """Time `longstream serve` until a vector is there, with all of its variants and with two."""
    seconds: dict[str, list[float]] = {_EVERY: [], _TWO: []}
    for _ in range(bench.settings.starts):
        seconds[_EVERY].append(await _start_s(bench, {"serve_models": None}))
        seconds[_TWO].append(await _start_s(bench, {}))
    before = bench.settings.before
    verdicts = []
    if before is not None:
        shares = Spread.of([one / before for one in seconds[_EVERY]])
        verdicts.append(Verdict(f"seconds, now over before ({before:g} s)", shares))
    rows = {name: {"seconds": Spread.of(found)} for name, found in seconds.items()}
    return Result(experiment.name, experiment.title, rows, verdicts)


async def _start_s(bench: Bench, settings: Mapping[str, object]) -> float:
    """Start a service of its own, return the seconds until its first vector, stop it."""
    launch = longstream("cold-start", bench.folder / "data" / "cold-start", settings)
    target = await bench.fleet.start(launch)
    try:
        await target.vectors(["ready"])
        return time.perf_counter() - bench.fleet.server(launch.name).begun_s
    finally:
        await bench.fleet.stop(launch.name)


REPLICAS: Final = Experiment(
    "replicas",
    "two replicas with a thread each beside one, 32 texts of mixed length a request",
    _replicas,
    lambda settings: 4 * settings.rounds * (settings.seconds + 4) + 60,
)
OVERLOAD: Final = Experiment(
    "overload",
    "five times more arrivals than can be served",
    _overload,
    lambda settings: settings.overload_s + settings.seconds + 90,
)
COLD_START: Final = Experiment(
    "cold-start",
    "from `longstream serve` to the first vector",
    _cold_start,
    lambda settings: 60 * settings.starts,
)
