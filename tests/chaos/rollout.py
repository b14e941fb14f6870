"""Add and remove replicas and replace all of them under live sessions, and see that the sessions do not notice.

    python -m tests.chaos.rollout [--sessions 50] [--seconds 15] [--seed 1]

2 replicas become 3, then 2 again, then every process is replaced by a new one. Exits with 1 if a client hears of a
wrong sequence number, needs more than one retry for a request, or a vector is not what an undisturbed session gives.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from service.cli.child_service import HOST
from service.config import ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.deployments.address import base_url, claim_port
from service.deployments.environment import driver_environment
from service.deployments.processes import adopt_orphans, end_descendants
from service.deployments.runs import Run
from service.sessions.stores import SqliteStore
from tests.chaos.client import Habits
from tests.chaos.crew import Crew, sentence
from tests.chaos.http_wire import HttpWire
from tests.chaos.stage import MODEL
from tests.chaos.verdict import Verdict, judge

COMMANDS: Final = ("scale 3", "scale 2", "redeploy")
HABITS: Final = Habits(
    kinds=(("append", 0.8), ("repeat", 0.1), ("read", 0.1)),
    bare=0.0,
    pause_s=2.0,
    retry_s=0.3,
    text=sentence,
)


@dataclass
class Rollout:
    """What was seen while replicas came and went."""

    seconds: dict[str, float] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    retries: dict[str, Counter[int]] = field(default_factory=dict)


class Piloted:
    """A service that is steered while it runs.

    Args:
        process: `tests.chaos.pilot`.
        url: Where the service answers.
        store: Its sessions.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, store: Path) -> None:
        self._process = process
        self.url = url
        self.store = store
        self.replicas = self._answer()

    def command(self, text: str) -> tuple[float, int]:
        """Give a command; return the seconds it took and how many replicas are still the same."""
        began, before = time.monotonic(), self.replicas
        if self._process.stdin is None:
            raise TypeError("the pilot has no stdin")
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        self.replicas = self._answer()
        return time.monotonic() - began, len(before & self.replicas)

    def _answer(self) -> frozenset[str]:
        if self._process.stdout is None:
            raise TypeError("the pilot has no stdout")
        for line in self._process.stdout:
            if line.startswith("pilot "):
                return frozenset(json.loads(line.removeprefix("pilot ")))
        raise RuntimeError("the pilot has ended; its log says why")


@contextmanager
def piloted(folder: Path) -> Iterator[Piloted]:
    """Start a service of two replicas of one model and one gateway, and end it."""
    claim, port = claim_port(HOST, 0)
    config = ServiceConfig(
        port=port,
        data_dir=folder / "data",
        models=(ModelConfig(id=MODEL, attention=MODEL, replicas=2),),
        engine=EngineConfig(threads=1),
        log_level="error",
    )
    config.data_dir.mkdir()
    run = Run.begin()
    adopt_orphans()
    order = {
        "config": config.model_dump(mode="json"),
        "directory": str(run.directory),
        "address": None,
    }
    with claim, (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.pilot"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=driver_environment(config, own_cluster=True),
            start_new_session=True,
        )
        try:
            if process.stdin is not None:
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
            yield Piloted(process, base_url(HOST, port), folder / "data" / "sessions.sqlite3")
            process.communicate(timeout=90)
        finally:
            end_descendants()
            run.close()


async def run(
    service: Piloted, sessions: int, seconds: float, seed: int
) -> tuple[Rollout, Verdict, HttpWire]:
    """Let every session live through all commands, with calm between them."""
    wire, seen = HttpWire(service.url), Rollout()
    crew = Crew(wire, MODEL, seed, HABITS, each=None)
    async with crew.working(sessions):
        await asyncio.sleep(seconds)
        for command in COMMANDS:
            began = time.perf_counter()
            took, kept = await asyncio.to_thread(service.command, command)
            await asyncio.sleep(seconds)
            seen.seconds[command], seen.kept[command] = round(took, 1), kept
            seen.retries[command] = Counter(
                one.attempts - 1
                for client in crew.clients
                for one in client.history
                if one.ended >= began
            )
            typer.echo(f"{command}: {took:.1f} s, retries {dict(seen.retries[command])}", err=True)
    async with SqliteStore(service.store) as store:
        verdict = await judge(crew.histories(), store, wire, MODEL)
    await wire.close()
    return seen, verdict, wire


def main(
    sessions: Annotated[int, typer.Option()] = 50,
    seconds: Annotated[float, typer.Option(help="Calm before and after each command.")] = 15.0,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Run it and report."""
    folder = Path(tempfile.mkdtemp(prefix="longstream-rollout-"))
    with piloted(folder) as service:
        seen, verdict, wire = asyncio.run(run(service, sessions, seconds, seed))
    most = max(max(retries, default=0) for retries in seen.retries.values())
    report: dict[str, Any] = {
        "seconds": seen.seconds,
        "replicas_kept": seen.kept,
        "operations_by_retries": {name: dict(counts) for name, counts in seen.retries.items()},
        "most_retries": most,
        "answers": dict(wire.seen),
        **verdict.report(),
    }
    typer.echo(json.dumps(report, indent=1))
    wrong = [what for what in wire.seen if what.startswith(("4", "500"))]
    raise SystemExit(0 if verdict.sound and not wrong and most <= 1 else 1)


if __name__ == "__main__":
    typer.run(main)
