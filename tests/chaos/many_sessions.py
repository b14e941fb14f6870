"""Open many sessions and see what they cost: memory while their states are hot, none when they are not, and time.

    python -m tests.chaos.many_sessions [--sessions 10000] [--probes 600]

The first service keeps every state in memory, the second, on the same data, has room for a few. Exits with 1 if the
encoder grows by more than 1.2 states a session, or at all where states leave memory again, or if appends become more
than twice as slow.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import httpx
import numpy as np
import typer
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.client import Request
from tests.chaos.crew import sentence
from tests.chaos.http_wire import HttpWire
from tests.chaos.stage import MODEL, Stage, stage

T = TypeVar("T")

AT_ONCE: Final = 4
FEW: Final = 16
"""Sessions that are open when the base is measured."""
WARM_UP: Final = 800
"""Appends before that; a replica's memory settles during the first ones."""
STATE_FACTOR: Final = 1.2
FLAT_FACTOR: Final = 1.05
P99_FACTOR: Final = 2.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The encoder at one moment.

    Attributes:
        rss: Its resident memory, bytes.
        p50_ms: Median time of an append, milliseconds, as a client sees it.
        p99_ms: Its 99th percentile.
    """

    rss: int
    p50_ms: float
    p99_ms: float


class Crowd:
    """Clients that append one chunk at a time to any of many sessions.

    Args:
        service: The service.
        seed: Decides which.
    """

    def __init__(self, service: Stage, seed: int) -> None:
        self._url = service.url
        self._wire = HttpWire(service.url)
        self._random = random.Random(seed)  # noqa: S311 - a choice is no secret
        self._count = 0

    async def open(self, names: Sequence[str]) -> None:
        """Begin sessions, and read one chunk into each."""

        async def one(name: str) -> None:
            await self._wire.create(name, MODEL)
            await self.append(name)

        await self._all(one(name) for name in names)

    async def append(self, name: str) -> float:
        """Append one chunk; return the seconds it took."""
        self._count += 1
        text = sentence(f"{name}-{self._count}")
        began = time.perf_counter()
        await self._wire.append(name, Request((text,), None, None, want_document=False))
        return time.perf_counter() - began

    async def measure(self, names: Sequence[str], probes: int) -> Measured:
        """Append to sessions at random and look at the encoder."""
        chosen = self._random.choices(names, k=probes)
        times = await self._all(self.append(name) for name in chosen)
        p50, p99 = np.percentile(times, [50, 99]) * 1000
        return Measured(await self.rss(), round(float(p50), 1), round(float(p99), 1))

    async def rss(self) -> int:
        """Return the encoder's resident memory, bytes."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as http:
            text = (await http.get("/metrics")).raise_for_status().text
        return next(
            int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "longstream_process_resident_memory_bytes"
            and sample.labels["replica"].startswith(f"encoder-{MODEL}")
        )

    async def state_bytes(self, name: str) -> int:
        """Return the bytes that the store keeps as a session's state; in memory it is no larger."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            return int((await http.get(f"/v1/sessions/{name}")).json()["state_bytes"])

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def _all(self, work: Iterable[Awaitable[T]]) -> list[T]:
        """Do work in order, a few pieces at once."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(piece: Awaitable[T]) -> T:
            async with places:
                return await piece

        return await asyncio.gather(*(one(piece) for piece in work))


async def hot(service: Stage, names: Sequence[str], probes: int) -> dict[str, Any]:
    """Open all sessions with room for every state; return what that cost."""
    crowd = Crowd(service, 1)
    few, rest = names[:FEW], names[FEW:]
    await crowd.open(few)
    await crowd.measure(few, WARM_UP)
    base = await crowd.measure(few, probes)
    began = time.monotonic()
    await crowd.open(rest)
    opened_s = time.monotonic() - began
    full = await crowd.measure(names, probes)
    state = await crowd.state_bytes(names[0])
    await crowd.close()
    return {
        "state_bytes": state,
        "opened_per_s": round(len(rest) / opened_s, 1),
        **_compared(base, full),
        "states_per_session": round((full.rss - base.rss) / (len(rest) * state), 3),
    }


async def evicted(service: Stage, names: Sequence[str], probes: int) -> dict[str, Any]:
    """Use all sessions with room for a few states; return what that cost."""
    crowd = Crowd(service, 2)
    few = names[:FEW]
    await crowd.measure(few, WARM_UP)
    base = await crowd.measure(few, probes)
    full = await crowd.measure(names, max(probes, len(names)))
    await crowd.close()
    return {**_compared(base, full), "growth": round(full.rss / base.rss - 1, 4)}


def _compared(base: Measured, full: Measured) -> dict[str, Any]:
    return {
        "rss_mib": [round(each.rss / 1024**2) for each in (base, full)],
        "append_p50_ms": [base.p50_ms, full.p50_ms],
        "append_p99_ms": [base.p99_ms, full.p99_ms],
        "p99_factor": round(full.p99_ms / base.p99_ms, 2),
    }


@contextmanager
def _running(folder: Path, data: Path, hot_bytes: int) -> Iterator[Stage]:
    folder.mkdir()
    sessions = {"hot_bytes": hot_bytes, "store": f"sqlite:{data}"}
    with stage(folder, sessions=sessions) as service:
        yield service


def main(
    sessions: Annotated[int, typer.Option()] = 10_000,
    probes: Annotated[int, typer.Option()] = 600,
) -> None:
    """Run it and report."""
    folder = Path(tempfile.mkdtemp(prefix="longstream-many-"))
    names = [f"many-{number}" for number in range(sessions)]
    data = folder / "sessions.sqlite3"
    with _running(folder / "hot", data, sessions * 1024**2) as service:
        report: dict[str, Any] = {
            "sessions": sessions,
            "hot": asyncio.run(hot(service, names, probes)),
        }
    room = FEW * int(report["hot"]["state_bytes"])
    with _running(folder / "evicted", data, room) as service:
        report["evicted"] = asyncio.run(evicted(service, names, probes))
    typer.echo(json.dumps(report, indent=1))
    fine = (
        report["hot"]["states_per_session"] <= STATE_FACTOR
        and report["evicted"]["growth"] <= FLAT_FACTOR - 1
        and max(report[way]["p99_factor"] for way in ("hot", "evicted")) <= P99_FACTOR
    )
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    typer.run(main)
