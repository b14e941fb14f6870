"""Flip single bits of stored rows and see that each is found: never answered from, never continued.

    python -m tests.service.sessions.stores.flips [--flips 10000] [--seed 1]

Every flip hits one value of one row of a session: its record, its state, a chunk, an idempotency key, the key of the
request that began it, or a snapshot, columns that rows are found by included. Exits with 1 if one goes unnoticed or is
answered with anything but 410 `session_lost`; but the request's key is read by its other name, and a snapshot is as
good as not kept.
"""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from service.errors import Gone
from service.sessions.changes import next_record, tombstone
from service.sessions.codec import StateArrays, encode, unread
from service.sessions.origins import Beginning, RequestRecord, SessionTraits
from service.sessions.protocol import chunk_digest
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.recovery import Recovery, known
from service.sessions.stores import Commit, SessionStore, open_store
from service.sessions.stores.verified import VerifiedStore
from tests.redis_server import RedisProcess
from tests.service.sessions.made import TENANT
from tests.service.sessions.stores.flip_targets import RedisTarget, SqliteTarget, Target
from tests.service.sessions.stores.quiet import without_log
from tests.service.sessions.watching import Clock, Heard

CHUNKS = 3
WIDTH = 8
NOW = 500.0
TRAITS = SessionTraits(indexed=True, forked_from="parent", forked_at=2)


def state_of(tokens: int) -> bytes:
    if tokens == 0:
        return encode(unread(WIDTH))
    draw = np.random.default_rng(tokens)
    part = draw.standard_normal((2, 3)).astype(np.float32)
    return encode(StateArrays({"matrix": part}, tokens, draw.standard_normal(WIDTH), tokens))


def chunk_of(seq: int) -> ChunkRecord:
    return ChunkRecord(seq, chunk_digest(f"text {seq}"), bytes([seq + 1]) * 4 * WIDTH, 3, 3 * seq)


async def fill(store: SessionStore) -> SessionRecord:
    """Write the session, with everything a session can have, and return its record."""
    state = state_of(0)
    record = SessionRecord(
        TENANT, "s", "1f" * 16, "infini", "f" * 64, "open", 0, 0, 0, 1.5, 2.5, '{"title":"ü"}', len(state),
        ttl_seconds=3600.0, ends_at=1e6,
    )  # fmt: skip
    request = RequestRecord("begun-by", chunk_digest("begin"), "s")
    assert await store.begin(Beginning(record, state, TRAITS, request=request)) == "begun"
    for seq in range(CHUNKS):
        state = state_of(3 * seq + 3)
        following = next_record(record, 3, len(state), 100.0 + seq)
        key = KeyRecord(f"key-{seq}", chunk_digest(f"request {seq}"), seq)
        assert await store.commit(
            Commit(record.version, following, state, chunk_of(seq), key, CHUNKS)
        )
        record = following
    return record


async def read_everything(store: SessionStore, record: SessionRecord) -> None:
    """Read a session as the service does, and check all of it; raises `Gone` if it is lost."""
    clock = Clock(NOW)
    assert known(await store.get(TENANT, "s"), "s", NOW) == record
    loaded, state = await Recovery(store, clock, Heard()).load(TENANT, "s")
    assert loaded == record
    assert encode(state) == state_of(3 * CHUNKS)
    assert await store.chunks(TENANT, "s", 0, 10) == [chunk_of(seq) for seq in range(CHUNKS)]
    for seq in range(CHUNKS):
        expected = KeyRecord(f"key-{seq}", chunk_digest(f"request {seq}"), seq)
        assert await store.key(TENANT, "s", expected.key) == expected
    assert await store.traits(TENANT, ["s"]) == {"s": TRAITS}
    request = RequestRecord("begun-by", chunk_digest("begin"), "s")
    assert await store.request(TENANT, request.key) == request


async def whole_snapshots(store: SessionStore) -> int:
    """Return how many snapshots are offered, and check that each is what it should be."""
    kept = await store.snapshots(TENANT, "s")
    for seq in range(12):
        found = await store.snapshot(TENANT, "s", seq)
        assert (found is not None) == (seq in kept)
        assert found is None or found == state_of(3 * seq)
    return len(kept)


async def is_found(raw: SessionStore, record: SessionRecord, what: str) -> bool:
    """Whether a flipped bit makes the session lost, for good, and erasable; or does no harm where that is promised."""
    store = VerifiedStore(raw, Clock(NOW), Heard())
    if what.startswith(("request", "snapshot", "record.request")):
        # A request stands under two names, and the session goes on without a snapshot.
        await read_everything(store, record)
        assert not what.startswith("snapshot") or await whole_snapshots(store) == CHUNKS - 1
        return True
    try:
        await read_everything(store, record)
    except Gone as gone:
        code = gone.code
    else:
        return False
    assert code == "session_lost"
    lost = await store.get(TENANT, "s")
    assert lost is not None
    assert lost.status == "lost"
    assert await store.bury(tombstone(lost, "deleted", NOW))
    buried = await store.get(TENANT, "s")
    assert buried is not None
    assert buried.status == "deleted"
    return True


async def flip_many(
    store: SessionStore, make: Callable[[], Target], flips: int, seed: int
) -> Counter[str]:
    """Flip bits one at a time; return how many of each value were found.

    Raises:
        AssertionError: A flipped bit went unnoticed.
    """
    record = await fill(store)
    chance = random.Random(seed)  # noqa: S311 - which bits are flipped is no secret
    target, found = make(), Counter[str]()
    await read_everything(store, record)
    assert await whole_snapshots(store) == CHUNKS
    while found.total() < flips:
        what = target.flip(chance)
        if what is None:
            continue
        assert await is_found(store, record, what), f"a flipped bit in {what} went unnoticed"
        found[what] += 1
        target.restore()
    await read_everything(store, record)
    assert await whole_snapshots(store) == CHUNKS
    return found


async def flip_sqlite(folder: Path, flips: int, seed: int) -> Counter[str]:
    path = folder / "flips.sqlite3"
    async with open_store(f"sqlite:{path}", folder) as store:
        targets: list[SqliteTarget] = []

        def make() -> Target:
            targets.append(SqliteTarget(path))
            return targets[0]

        try:
            return await flip_many(store, make, flips, seed)
        finally:
            for target in targets:
                target.close()


async def flip_redis(server: RedisProcess, folder: Path, flips: int, seed: int) -> Counter[str]:
    with closing(server.client()) as client:
        client.flushall()
        async with open_store(server.url, folder) as store:
            return await flip_many(store, lambda: RedisTarget(client), flips, seed)


def main(
    flips: Annotated[int, typer.Option()] = 10_000, seed: Annotated[int, typer.Option()] = 1
) -> None:
    """Run the flips over both stores and report."""
    without_log()
    with tempfile.TemporaryDirectory(prefix="longstream-flips-") as name:
        folder = Path(name)
        report = {"sqlite": asyncio.run(flip_sqlite(folder, flips, seed))}
        with RedisProcess(folder / "redis") as server:
            report["redis"] = asyncio.run(flip_redis(server, folder, flips, seed))
    for backend, found in report.items():
        typer.echo(f"{backend}: {found.total()} flips, all found")
        for what, count in sorted(found.items()):
            typer.echo(f"  {what}: {count}")


if __name__ == "__main__":
    typer.run(main)
