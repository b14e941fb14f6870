"""How long is it from `longstream serve` to the first vector, and where does the processors' time go?

    python -m loadtests.cold_start [--models multi-head] [--rounds 3]

Starts services of its own, one after the other, and prints a JSON report. On a busy machine the seconds on the clock
say little; the processor seconds of all its processes, by what they do, say the same there.
"""

import json
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, TypedDict

import psutil
import typer

from service.cli.child_service import HOST, ChildService
from service.client import LongstreamClient
from service.config import client_api_key
from service.deployments.address import claim_port

_REPLICA: Final = re.compile(r"ray::ServeReplica:longstream:(encoder|gateway)")
_PARTS: Final = (
    ("service.deployments.driver", "driver"),
    ("service.cli", "supervisor"),
    ("ray::ServeController", "Serve controller"),
)


class Round(TypedDict):
    """One start: seconds on the clock, and of processors by part."""

    ready_s: float
    first_vector_s: float
    cpu_s: dict[str, float]


def part(command: str) -> str:
    """Say what a process of the service is for, given its command line."""
    replica = _REPLICA.match(command)
    if replica:
        return f"{replica[1]} replicas"
    return next((name for mark, name in _PARTS if mark in command), "Ray's own")


def cpu_seconds(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """Sum user and system seconds of processes by part; those that have ended are left out."""
    sums: defaultdict[str, float] = defaultdict(float)
    for process in processes:
        try:
            times = process.cpu_times()
            sums[part(" ".join(process.cmdline()))] += times.user + times.system
        except psutil.Error:
            continue
    return {name: round(seconds, 2) for name, seconds in sorted(sums.items())}


def start_once(models: str | None) -> Round:
    """Start a service, ask every model for a vector, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        claim, port = claim_port(HOST, 0)
        claim.close()
        begun = time.monotonic()
        service = ChildService.start(port, Path(folder) / "log", Path(folder) / "data", models)
        try:
            with LongstreamClient(service.url, client_api_key()) as client:
                first, *others = [model.id for model in client.models()]
                client.embed(["a text"], first)
                first_vector_s = time.monotonic() - begun
                for other in others:
                    client.embed(["a text"], other)
            supervisor = psutil.Process(service.process.pid)
            cpu_s = cpu_seconds([supervisor, *supervisor.children(recursive=True)])
        finally:
            service.stop()
    return {
        "ready_s": round(service.ready_s, 1),
        "first_vector_s": round(first_vector_s, 1),
        "cpu_s": {**cpu_s, "all": round(sum(cpu_s.values()), 2)},
    }


def main(
    models: Annotated[str | None, typer.Option(help="Ids, separated by commas.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Start services and report."""
    found = [start_once(models) for _ in range(rounds)]
    report = {
        "models": models or "all",
        "rounds": found,
        "median_first_vector_s": statistics.median(one["first_vector_s"] for one in found),
        "median_cpu_s": statistics.median(one["cpu_s"]["all"] for one in found),
    }
    typer.echo(json.dumps(report, indent=1))


if __name__ == "__main__":
    typer.run(main)
