"""Measure commits a second and bytes written for each, alone and in groups, with states of real size.

    python -m tests.service.sessions.stores.speed [--seconds 5] [--sessions 16] [--state-kib 297]

Sessions append at the same time, as they do in a replica whose engine reads several in one step. Bytes written are the
kernel's count for this process (`/proc/self/io`).
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from service.sessions.stores import RedisStore, SessionStore, SqliteStore
from service.sessions.stores.sqlite_groups import GroupCommit
from tests.redis_server import RedisProcess
from tests.service.sessions.made import create, make_commit, make_record
from tests.service.sessions.stores.quiet import without_log


def written_bytes() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


async def append_for(store: SessionStore, name: str, state: bytes, until: float) -> int:
    """Append to one session until the time is up; return how often."""
    record, done = make_record(name), 0
    assert await create(store, record, state)
    while time.monotonic() < until:
        commit = make_commit(record, forget_before=record.next_seq)
        object.__setattr__(commit, "state", state)
        assert await store.commit(commit)
        record, done = commit.record, done + 1
    return done


async def measure(store: SessionStore, sessions: int, seconds: float, state: bytes) -> str:
    """Return what a store does, in words."""
    async with store:
        began, before = time.monotonic(), written_bytes()
        until = began + seconds
        counts = await asyncio.gather(
            *(append_for(store, f"s{at}", state, until) for at in range(sessions))
        )
        took, appends = time.monotonic() - began, sum(counts)
    kib = (written_bytes() - before) / 1024 / max(1, appends)
    return f"{appends / took:7.1f} appends/s, {kib:6.0f} KiB written for each"


def main(
    seconds: Annotated[float, typer.Option()] = 5.0,
    sessions: Annotated[int, typer.Option()] = 16,
    state_kib: Annotated[int, typer.Option()] = 297,
) -> None:
    """Measure and report."""
    without_log()
    state = bytes(range(256)) * 4 * state_kib
    with tempfile.TemporaryDirectory(prefix="longstream-speed-") as name:
        for most in (1, 32):
            store = SqliteStore(Path(name) / f"{most}.sqlite3")
            store._commits = GroupCommit(store._thread, most)
            said = asyncio.run(measure(store, sessions, seconds, state))
            typer.echo(f"sqlite, at most {most:2} in a transaction: {said}")
        with RedisProcess(Path(name) / "redis") as server:
            said = asyncio.run(measure(RedisStore(server.url), sessions, seconds, state))
            typer.echo(f"redis, appendfsync always (the server writes): {said}")


if __name__ == "__main__":
    typer.run(main)
