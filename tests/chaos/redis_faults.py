"""Stop, suspend, slow down and cut off the Redis server of a running service, and judge what its clients are left with.

    python -m tests.chaos.redis_faults [--seconds 30] [--seed 1]

Starts its own Redis server, a fault proxy before it, and a service. Exits with 1 if a client hears anything but 503
with `Retry-After`, if a call without a session fails, or if anything is lost, applied twice, damaged, or not what its
chunks give without a fault.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from service.sessions.stores import open_store
from tests.chaos.client import Unanswered
from tests.chaos.crew import Crew
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.http_wire import HttpWire
from tests.chaos.stage import FEW_STATES_BYTES, MODEL, Stage, stage
from tests.chaos.verdict import Verdict, judge
from tests.redis_server import RedisProcess

SESSIONS: Final = 6
SHARED: Final = 2
CALM_SECONDS: Final = 5.0
BACK_SECONDS: Final = 60.0
EXPECTED: Final = frozenset(
    {"200", "201", "409 sequence_conflict", "409 session_exists", "503 store_unavailable"}
)
"""What clients may hear; a session that was begun and whose answer got lost exists."""


@dataclass
class Network:
    """What can be made bad."""

    server: RedisProcess
    proxy: FaultProxy


Fault = Callable[[Network], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def stopped(network: Network) -> AsyncIterator[None]:
    """The server ends in good order and is started again."""
    await asyncio.to_thread(network.server.stop)
    yield
    await asyncio.to_thread(network.server.start)


@asynccontextmanager
async def killed(network: Network) -> AsyncIterator[None]:
    """The server dies and is started again."""
    await asyncio.to_thread(network.server.kill)
    yield
    await asyncio.to_thread(network.server.start)


@asynccontextmanager
async def suspended(network: Network) -> AsyncIterator[None]:
    """The server answers nothing, with all connections open."""
    network.server.pause()
    yield
    network.server.resume()


@asynccontextmanager
async def hung(network: Network) -> AsyncIterator[None]:
    """The network passes nothing on, with all connections open."""
    network.proxy.hang()
    yield
    network.proxy.heal()


@asynccontextmanager
async def slow(network: Network) -> AsyncIterator[None]:
    """Every answer takes half a second."""
    network.proxy.latency_s = 0.25
    yield
    network.proxy.heal()


@asynccontextmanager
async def reset(network: Network) -> AsyncIterator[None]:
    """All connections are reset twice a second, wherever they are in a request."""

    async def cut() -> None:
        while True:
            network.proxy.reset()
            await asyncio.sleep(0.5)

    cutting = asyncio.create_task(cut())
    yield
    cutting.cancel()


@asynccontextmanager
async def refused(network: Network) -> AsyncIterator[None]:
    """No connection comes through any more."""
    network.proxy.refusing = True
    network.proxy.reset()
    yield
    network.proxy.heal()


FAULTS: Final[Mapping[str, Fault]] = {
    "stopped": stopped,
    "killed": killed,
    "suspended": suspended,
    "hung": hung,
    "slow": slow,
    "reset": reset,
    "refused": refused,
}


@dataclass
class Observed:
    """What clients heard during each fault and what came after it."""

    answers: dict[str, Counter[str]] = field(default_factory=dict)
    back_after_s: dict[str, float] = field(default_factory=dict)
    slowest_503_s: dict[str, float] = field(default_factory=dict)
    unadvised: int = 0
    stateless: Counter[str] = field(default_factory=Counter)

    @property
    def fine(self) -> bool:
        """Whether clients heard nothing but what they may."""
        heard = set().union(*self.answers.values())
        return heard <= EXPECTED and not self.unadvised and set(self.stateless) == {"200"}


async def observe(
    service: Stage, network: Network, faults: Mapping[str, Fault], seconds: float, seed: int
) -> tuple[Observed, Crew]:
    """Let clients work through every fault, with calm between them."""
    observed, crew = Observed(), Crew(HttpWire(service.url), MODEL, seed)
    bystander = HttpWire(service.url)
    asking = asyncio.create_task(_ask(bystander))
    async with crew.working(SESSIONS, SHARED):
        await asyncio.sleep(CALM_SECONDS)
        for name, fault in faults.items():
            before = crew.wire.seen.copy()
            crew.wire.slowest_s.clear()
            async with fault(network):
                await asyncio.sleep(seconds)
            observed.answers[name] = crew.wire.seen - before
            slowest = crew.wire.slowest_s.get("503 store_unavailable", 0.0)
            observed.slowest_503_s[name] = round(slowest, 2)
            observed.back_after_s[name] = round(await _back(crew), 2)
            typer.echo(f"{name}: {dict(observed.answers[name])}", err=True)
            await asyncio.sleep(CALM_SECONDS)
    asking.cancel()
    observed.answers["afterwards"] = crew.wire.seen
    observed.unadvised, observed.stateless = crew.wire.unadvised, bystander.seen
    await bystander.close()
    return observed, crew


async def _ask(wire: HttpWire) -> None:
    """Ask for vectors without a session, which need no store."""
    while True:
        try:
            await wire.embed(MODEL)
        except Unanswered:
            # Counted by the wire.
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.1)


async def _back(crew: Crew) -> float:
    """Return the seconds until an append is acknowledged that began after this moment."""
    began, clock = time.monotonic(), time.perf_counter()
    while time.monotonic() - began < BACK_SECONDS:
        if any(
            client.history
            and client.history[-1].outcome == "ok"
            and client.history[-1].began > clock
            for client in crew.clients
        ):
            return time.monotonic() - began
        await asyncio.sleep(0.01)
    return float("inf")


async def run(
    folder: Path, seconds: float, seed: int, names: list[str]
) -> tuple[Observed, Verdict]:
    """Start everything, do it, and judge."""
    with RedisProcess(folder / "redis") as server:
        async with FaultProxy("127.0.0.1", server.port).listening() as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            sessions = {"store": url, "hot_bytes": FEW_STATES_BYTES}
            starting = stage(folder, sessions=sessions)
            service = await asyncio.to_thread(starting.__enter__)
            try:
                faults = {name: FAULTS[name] for name in names}
                network = Network(server, proxy)
                observed, crew = await observe(service, network, faults, seconds, seed)
                async with open_store(server.url, folder) as store:
                    verdict = await judge(crew.histories(), store, crew.wire, MODEL)
                await crew.wire.close()
            finally:
                await asyncio.to_thread(starting.__exit__, None, None, None)
    return observed, verdict


def main(
    seconds: Annotated[float, typer.Option(help="Length of each fault.")] = 30.0,
    seed: Annotated[int, typer.Option()] = 1,
    fault: Annotated[list[str] | None, typer.Option(help="One fault; default: all.")] = None,
) -> None:
    """Run it and report."""
    folder = Path(tempfile.mkdtemp(prefix="longstream-redis-faults-"))
    observed, verdict = asyncio.run(run(folder, seconds, seed, fault or list(FAULTS)))
    report: dict[str, Any] = {
        "seconds_each": seconds,
        "answers": {name: dict(seen) for name, seen in observed.answers.items()},
        "slowest_503_s": observed.slowest_503_s,
        "back_after_s": observed.back_after_s,
        "without_retry_after": observed.unadvised,
        "stateless": dict(observed.stateless),
        **verdict.report(),
    }
    typer.echo(json.dumps(report, indent=1))
    raise SystemExit(0 if verdict.sound and observed.fine else 1)


if __name__ == "__main__":
    typer.run(main)
