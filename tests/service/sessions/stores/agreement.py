"""Run the machine of random operations over several stores.

    python -m tests.service.sessions.stores.agreement [--steps 10000]

runs it over memory, SQLite and a Redis server of its own until so many operations were done.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis_server import RedisProcess
from tests.service.sessions.stores.machine import Agreement
from tests.service.sessions.stores.machine_origins import FullAgreement
from tests.service.sessions.stores.quiet import without_log


def run_machine(
    machine: type[Agreement], examples: int, steps: int, *, shrink: bool = True
) -> None:
    """Run a machine; raises what it finds, made as short as can be if `shrink`."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
            suppress_health_check=list(HealthCheck),
        ),
    )


def machine_over(*specs: str, **changes: Any) -> type[Agreement]:
    """Return the machine over other stores, or with something changed."""
    return type("FullAgreement", (FullAgreement,), {"specs": specs, "steps": 0, **changes})


def main(steps: Annotated[int, typer.Option()] = 10_000) -> None:
    """Run the machine over all stores and report."""
    without_log()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="longstream-redis-") as folder,
        RedisProcess(Path(folder), appendfsync="always") as server,
    ):
        machine, runs = machine_over("memory", "sqlite", server.url), 0
        while machine.steps < steps:
            run_machine(machine, examples=10, steps=50)
            runs += 10
            took = time.monotonic() - began
            typer.echo(f"{machine.steps} operations in {runs} runs, {took:.0f} s")
    typer.echo("memory, SQLite and Redis agree, and with the model")


if __name__ == "__main__":
    typer.run(main)
