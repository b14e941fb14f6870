"""Let writers race for one version of a session, over and over, and see that exactly one of them wins.

    python -m tests.service.sessions.stores.races [--races 10000]

Two stores are open on the same file, or on the same server, as two processes or two machines would have them. In every
other race commits meet commits; in the others appends, a completion and a deletion are all tied to the same entity tag
by `If-Match`, or forks and other beginnings to the same `Idempotency-Key`, while what is forked is deleted. Exits with
1 if a race has no winner, or two, or if the store holds anything but what the winner wrote.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service.errors import Conflict, Gone, PreconditionFailed
from service.sessions.catalog import SessionCatalog
from service.sessions.changes import tombstone
from service.sessions.origins import Beginning, RequestRecord
from service.sessions.protocol import require_etag
from service.sessions.records import SessionRecord
from service.sessions.stores import SessionStore, open_store
from tests.redis_server import RedisProcess
from tests.service.sessions.made import TENANT, create, make_commit, make_record
from tests.service.sessions.stores.quiet import without_log

Stores = tuple[SessionStore, SessionStore]


async def attempt(work: Awaitable[object]) -> bool:
    """Whether a conditional call did what it was asked to."""
    try:
        return await work is not False
    except (PreconditionFailed, Gone, Conflict):
        return False


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


async def append_if(store: SessionStore, name: str, tag: tuple[str, ...], text: str) -> bool:
    """Append on condition, with the round trips of a completion or a deletion."""
    record = await store.get(TENANT, name)
    if record is None or record.status != "open" or record.completed:
        return False
    require_etag(record, tag)
    return await store.commit(make_commit(record, text))


async def with_conditions(stores: Stores, name: str, chance: random.Random) -> str:
    """Two appends, a completion and a deletion that all want one entity tag; return what won."""
    record = make_record(name)
    assert await create(stores[0], record, b"begin")
    one, two = (SessionCatalog(store) for store in stores)
    tag = (record.etag,)
    contenders: list[tuple[str, Awaitable[object]]] = [
        ("append", append_if(stores[0], name, tag, "first")),
        ("append", append_if(stores[1], name, tag, "second")),
        ("complete", one.complete(TENANT, name, if_match=tag)),
        ("delete", two.delete(TENANT, name, if_match=tag)),
    ]
    chance.shuffle(contenders)
    won = await asyncio.gather(*(attempt(work) for _, work in contenders))
    assert sum(won) == 1, won
    kind = contenders[won.index(True)][0]
    found = await stores[0].get(TENANT, name)
    assert found is not None
    assert found.version == 1
    assert (found.status == "deleted") == (kind == "delete")
    assert found.completed == (kind == "complete")
    assert found.next_seq == (1 if kind == "append" else 0)
    assert await stores[1].forget(found)
    return kind


async def beginnings(stores: Stores, number: int) -> str:
    """Four requests with one key, of them two forks, and the end of what they fork; return what won."""
    source, key = make_record(f"source{number}"), f"k{number}"
    assert await create(stores[0], source, b"begin")
    grown = make_commit(source).record
    assert await stores[0].commit(make_commit(source))
    wanted = [
        Beginning(
            replace(make_record(name), next_seq=len(fork)),
            b"begun",
            source=grown if fork else None,
            request=RequestRecord(key, b"r" * 32, name),
        )
        for name, fork in zip(
            (f"r{number}{end}" for end in "abcd"), ("x", "", "x", ""), strict=True
        )
    ]
    grave = tombstone(grown, "deleted", 9.0)
    *outcomes, over = await asyncio.gather(
        *(stores[at % 2].begin(beginning) for at, beginning in enumerate(wanted)),
        stores[1].bury(grave),
    )
    assert over is True
    assert outcomes.count("begun") == 1, outcomes
    assert set(outcomes) <= {"begun", "key_taken", "source_gone"}
    winner = wanted[outcomes.index("begun")]
    for store in stores:
        assert await store.request(TENANT, key) == winner.request
        there = [await store.get(TENANT, beginning.record.id) for beginning in wanted]
        assert there == [winner.record if one is winner else None for one in wanted]
        assert len(await store.chunks(TENANT, winner.record.id, 0, 9)) == winner.record.next_seq
    assert await stores[0].forget(grave)
    return "fork" if winner.source else "begin"


async def run_races(spec: str, folder: Path, races: int) -> Counter[str]:
    """Run so many races, half of them of commits; return how often what has won."""
    async with AsyncExitStack() as stack:
        stores = (
            await stack.enter_async_context(open_store(spec, folder)),
            await stack.enter_async_context(open_store(spec, folder)),
        )
        record, winners = make_record("long"), Counter[str]()
        chance = random.Random(races)  # noqa: S311 - who is first is no secret
        assert await create(stores[0], record, b"begin")
        for number in range(races):
            if number % 4 == 3:
                winners[await beginnings(stores, number)] += 1
            elif number % 2:
                winners[await with_conditions(stores, f"s{number}", chance)] += 1
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
