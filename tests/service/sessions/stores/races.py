"""Let writers race for one version of a session, over and over, and see that exactly one of them wins.

    python -m tests.service.sessions.stores.races [--races 10000]

Two stores are open on the same file, or on the same server, as two processes or two machines would have them. In every
other race commits meet commits; in the others commits meet a completion and a deletion that are tied to the same
entity tag by `If-Match`. Exits with 1 if a race has no winner, or two, or if the store holds anything but what the
winner wrote.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from service.errors import Conflict, Gone, PreconditionFailed
from service.sessions.catalog import SessionCatalog
from service.sessions.records import SessionRecord
from service.sessions.stores import SessionStore, open_store
from tests.redis_server import RedisProcess
from tests.service.sessions.made import TENANT, make_commit, make_record
from tests.service.sessions.stores.quiet import without_log

Stores = tuple[SessionStore, SessionStore]


async def attempt(work: Awaitable[object]) -> bool:
    """Whether a conditional call did what it was asked to."""
    try:
        await work
    except (PreconditionFailed, Gone, Conflict):
        return False
    return True


async def commits_only(stores: Stores, record: SessionRecord) -> SessionRecord:
    """Four commits at one version; return the record that one of them left."""
    commits = [make_commit(record, f"text of {writer}") for writer in range(4)]
    won = await asyncio.gather(
        *(stores[at % 2].commit(commit) for at, commit in enumerate(commits))
    )
    assert sum(won) == 1, won
    winner = commits[won.index(True)]
    for store in stores:
        assert await store.get_with_state(TENANT, record.id) == (winner.record, winner.state)
    assert await stores[0].chunks(TENANT, record.id, winner.chunk.seq, 9) == [winner.chunk]
    return winner.record


async def with_conditions(stores: Stores, name: str) -> str:
    """Two commits, a completion and a deletion at one version; return what won."""
    record = make_record(name)
    assert await stores[0].create(record, b"begin")
    one, two = (SessionCatalog(store) for store in stores)
    tag = (record.etag,)
    won = await asyncio.gather(
        stores[0].commit(make_commit(record, "first")),
        stores[1].commit(make_commit(record, "second")),
        attempt(one.complete(TENANT, name, if_match=tag)),
        attempt(two.delete(TENANT, name, if_match=tag)),
    )
    assert sum(won) == 1, won
    kind = ("commit", "commit", "complete", "delete")[won.index(True)]
    found = await stores[0].get(TENANT, name)
    assert found is not None
    assert found.version == 1
    assert (found.status == "deleted") == (kind == "delete")
    assert found.completed == (kind == "complete")
    assert found.next_seq == (1 if kind == "commit" else 0)
    assert await stores[1].forget(found)
    return kind


async def run_races(spec: str, folder: Path, races: int) -> Counter[str]:
    """Run so many races, half of either kind; return how often what has won."""
    async with AsyncExitStack() as stack:
        stores = (
            await stack.enter_async_context(open_store(spec, folder)),
            await stack.enter_async_context(open_store(spec, folder)),
        )
        record, winners = make_record("long"), Counter[str]()
        assert await stores[0].create(record, b"begin")
        for number in range(races):
            if number % 2:
                winners[await with_conditions(stores, f"s{number}")] += 1
            else:
                record = await commits_only(stores, record)
                winners["commit"] += 1
    return winners


def main(races: Annotated[int, typer.Option()] = 10_000) -> None:
    """Run the races over both stores and report."""
    without_log()
    with (
        tempfile.TemporaryDirectory(prefix="longstream-races-") as name,
        RedisProcess(Path(name) / "redis") as server,
    ):
        for spec in ("sqlite", server.url):
            began = time.monotonic()
            winners = asyncio.run(run_races(spec, Path(name), races))
            took = time.monotonic() - began
            typer.echo(
                f"{spec.partition(':')[0]}: {winners.total()} races, one winner each: {dict(winners)}, {took:.0f} s"
            )


if __name__ == "__main__":
    typer.run(main)
