"""Hundreds of clients that send a byte a second: are they cut off, and does anybody else notice?

    python -m loadtests.slow_clients --url http://127.0.0.1:8000 [--uploads 300] [--heads 200] [--limit 15]

First healthy requests alone are timed, then the same among slow uploads (JSON bodies that trickle) and slow heads.
Prints a JSON report. Exits with 1 if an attacker lived longer than the limit, if a healthy request failed, or if the
99th percentile of healthy requests more than doubled.
"""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlsplit

import httpx
import typer

from service.config import client_api_key

DRIP_SECONDS: Final = 1.0
SLOWER: Final = 2.0
"""Most that the 99th percentile may grow by, as a factor."""
NOTICEABLE_S: Final = 0.02
"""Below this a percentile is noise, and its double too."""


@dataclass(slots=True)
class Attack:
    """What became of slow clients.

    Attributes:
        lived_s: How long each was connected.
        statuses: What those were answered who were answered.
    """

    lived_s: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    async def drip(self, address: tuple[str, int], head: bytes, offset_s: float) -> None:
        """Send a head at once and then a byte a second, until the service has enough."""
        await asyncio.sleep(offset_s)
        reader, writer = await asyncio.open_connection(*address)
        begun = time.monotonic()
        answer = asyncio.ensure_future(reader.read())
        with contextlib.suppress(ConnectionError):
            writer.write(head)
            while not answer.done():
                writer.write(b"x")
                await asyncio.wait({answer}, timeout=DRIP_SECONDS)
        self.lived_s.append(time.monotonic() - begun)
        status = "closed"
        # A head that came too late is closed without an answer, and a byte that crosses that end resets it.
        with contextlib.suppress(ConnectionError):
            status = (await answer)[9:12].decode() or status
        self.statuses[status] = self.statuses.get(status, 0) + 1
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@dataclass(slots=True)
class Health:
    """Healthy requests, one after the other.

    Attributes:
        seconds: What each took.
        failures: How many were answered otherwise than with 200.
    """

    seconds: list[float] = field(default_factory=list)
    failures: int = 0

    async def watch(self, client: httpx.AsyncClient, going_on: Callable[[], bool]) -> None:
        """Ask for a vector again and again."""
        while going_on():
            begun = time.monotonic()
            answer = await client.post(
                "/v1/embeddings", json={"model": "multi-head", "input": "a healthy request"}
            )
            self.seconds.append(time.monotonic() - begun)
            self.failures += not answer.is_success
            await asyncio.sleep(0.05)

    @property
    def p99_s(self) -> float:
        """Return the 99th percentile."""
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[98]


async def attack(
    url: str, key: str | None, uploads: int, heads: int, alone_s: float
) -> tuple[Health, Health, Attack]:
    """Return healthy requests alone, those under attack, and the attackers."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    auth = {} if key is None else {"authorization": f"Bearer {key}"}
    host = f"host: {parts.netloc}\r\n"
    shown = "".join(f"{name}: {value}\r\n" for name, value in auth.items())
    upload = (
        f"POST /v1/embeddings HTTP/1.1\r\n{host}{shown}"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    )
    head = f"POST /v1/embeddings HTTP/1.1\r\n{host}x-slow: "
    alone, among, slow = Health(), Health(), Attack()
    async with httpx.AsyncClient(base_url=url, headers=auth, timeout=60) as client:
        until = time.monotonic() + alone_s
        await alone.watch(client, lambda: time.monotonic() < until)
        attackers: list[Awaitable[None]] = [
            slow.drip(address, text.encode(), index / count)
            for text, count in ((upload, uploads), (head, heads))
            for index in range(count)
        ]
        attacking = asyncio.gather(*attackers)
        await among.watch(client, lambda: not attacking.done())
        await attacking
    return alone, among, slow


def main(
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    uploads: Annotated[int, typer.Option(help="Clients whose body trickles.")] = 300,
    heads: Annotated[int, typer.Option(help="Clients whose head trickles.")] = 200,
    limit: Annotated[float, typer.Option(help="Longest life of an attacker, seconds.")] = 15.0,
    alone: Annotated[float, typer.Option(help="Seconds of healthy requests alone.")] = 20.0,
) -> None:
    """Attack and report."""
    calm, hurt, slow = asyncio.run(attack(url, client_api_key(), uploads, heads, alone))
    bound_s = max(SLOWER * calm.p99_s, NOTICEABLE_S)
    report = {
        "attackers": len(slow.lived_s),
        "longest_life_s": round(max(slow.lived_s), 2),
        "answers": slow.statuses,
        "healthy_alone": len(calm.seconds),
        "healthy_under_attack": len(hurt.seconds),
        "failures": calm.failures + hurt.failures,
        "p99_ms_alone": round(calm.p99_s * 1e3, 1),
        "p99_ms_under_attack": round(hurt.p99_s * 1e3, 1),
        "p99_ratio": round(hurt.p99_s / calm.p99_s, 2),
    }
    typer.echo(json.dumps(report, indent=1))
    if max(slow.lived_s) > limit or report["failures"] or hurt.p99_s > bound_s:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
