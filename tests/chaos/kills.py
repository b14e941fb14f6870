"""Kill processes of a running service at named places, again and again, while clients work, and judge what is left.

    python -m tests.chaos.kills [--kills 500] [--seed 1] [--folder DIR]

Exits with 1 if anything acknowledged is lost, anything is applied twice, a row does not verify, a session is not what
its chunks give without a fault, or the service takes too long to come back.
"""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from service.failpoints import FAILPOINTS, Failpoint, arm, disarm, victim
from service.sessions.stores import SqliteStore
from tests.chaos.client import Unanswered
from tests.chaos.crew import Crew
from tests.chaos.http_wire import HttpWire
from tests.chaos.stage import MODEL, Stage, stage
from tests.chaos.verdict import Verdict, judge

SESSIONS: Final = 8
SHARED: Final = 2
MOST_HITS: Final = 6
REACHED_SECONDS: Final = 60.0
"""A failpoint that is not reached by then is not on the path of the clients: an error of the harness."""
BACK_SECONDS: Final = 60.0
LIMITS: Final = {"encoder": 10.0, "gateway": 8.0}
"""Longest time without service after a death, seconds."""


class HarnessError(Exception):
    """The harness could not do its work; nothing is said of the service."""


@dataclass
class Deaths:
    """Who died where, and how long it took."""

    at: Counter[Failpoint] = field(default_factory=Counter)
    back_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LIMITS})

    def add(self, failpoint: Failpoint, back_s: float) -> None:
        """Note a death and the seconds until the service was whole again."""
        self.at[failpoint] += 1
        self.back_s[who(failpoint)].append(back_s)

    @property
    def in_time(self) -> bool:
        """Whether the service was always back soon enough."""
        return all(max(times, default=0.0) <= LIMITS[name] for name, times in self.back_s.items())

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "kills": self.at.total(),
            "kills_at": dict(self.at),
            "back_after_s": {
                name: {
                    "kills": len(times),
                    "median": round(sorted(times)[len(times) // 2], 2),
                    "longest": round(max(times), 2),
                }
                for name, times in self.back_s.items()
                if times
            },
        }


def who(failpoint: Failpoint) -> str:
    """Return which kind of process a failpoint is in."""
    return "gateway" if failpoint.startswith("gateway.") else "encoder"


def plan(kills: int, rng: random.Random, places: Sequence[Failpoint]) -> list[Failpoint]:
    """Return where to kill: every place as often as any other, in random order."""
    rounds = [rng.sample(places, len(places)) for _ in range(-(-kills // len(places)))]
    return [failpoint for each in rounds for failpoint in each][:kills]


async def kill_at(service: Stage, failpoint: Failpoint, hits: int, wire: HttpWire) -> float:
    """Let a process die at a place; return the seconds until the service was whole again.

    Raises:
        HarnessError: Nobody came there, or the service did not come back.
    """
    order = arm(service.failpoints, failpoint, hits)
    pid = await _eventually(lambda: victim(service.failpoints, order), REACHED_SECONDS)
    if pid is None:
        disarm(service.failpoints)
        raise HarnessError(f"nobody reached {failpoint} {hits} times in {REACHED_SECONDS:g} s")
    if await _eventually(lambda: _is_gone(pid), REACHED_SECONDS) is None:
        raise HarnessError(f"process {pid} lives on after {failpoint}")
    died = time.monotonic()
    while not await _is_whole(wire):
        if time.monotonic() - died > BACK_SECONDS or not service.alive:
            raise HarnessError(f"the service did not come back after {failpoint}")
        await asyncio.sleep(0.02)
    return time.monotonic() - died


async def _is_whole(wire: HttpWire) -> bool:
    """Return whether a model answers and the service calls itself ready."""
    try:
        async with asyncio.timeout(BACK_SECONDS):
            await wire.embed(MODEL)
            return await wire.ready()
    except (Unanswered, TimeoutError):
        return False


def _is_gone(pid: int) -> bool | None:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or None
    except psutil.NoSuchProcess:
        return True


async def _eventually(look: Any, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        await asyncio.sleep(0.005)
    return None


async def run(
    service: Stage, kills: int, seed: int, places: Sequence[Failpoint] = FAILPOINTS
) -> tuple[Deaths, Verdict, HttpWire]:
    """Kill while clients work, then judge."""
    rng = random.Random(seed)  # noqa: S311 - where to kill is no secret
    # The probe has connections of its own: a gateway that dies takes connections along.
    wire, probe, deaths = HttpWire(service.url), HttpWire(service.url), Deaths()
    crew = Crew(wire, MODEL, seed)
    async with crew.working(SESSIONS, SHARED):
        for count, failpoint in enumerate(plan(kills, rng, places), 1):
            back_s = await kill_at(service, failpoint, rng.randint(1, MOST_HITS), probe)
            deaths.add(failpoint, back_s)
            typer.echo(f"{count}/{kills} {failpoint}: back after {back_s:.2f} s", err=True)
    async with SqliteStore(service.store) as store:
        verdict = await judge(crew.histories(), store, wire, MODEL)
    for each in (wire, probe):
        await each.close()
    return deaths, verdict, wire


def main(
    kills: Annotated[int, typer.Option()] = 500,
    seed: Annotated[int, typer.Option()] = 1,
    folder: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run it and report."""
    began = time.monotonic()
    with stage(folder or Path(tempfile.mkdtemp(prefix="longstream-kills-"))) as service:
        deaths, verdict, wire = asyncio.run(run(service, kills, seed))
    report = {"seed": seed, **deaths.report(), **verdict.report(), "answers": dict(wire.seen)}
    typer.echo(json.dumps(report | {"seconds": round(time.monotonic() - began)}, indent=1))
    unforeseen = [what for what in wire.seen if what.startswith("500")]
    raise SystemExit(0 if verdict.sound and deaths.in_time and not unforeseen else 1)


if __name__ == "__main__":
    typer.run(main)
