"""Append so many chunks to one session, waiting out every failure of the disk; prints what was acknowledged.

Run by the test under a tracer that lets system calls fail.
"""

import asyncio
import sys
from pathlib import Path

from service.errors import Unavailable
from service.sessions.stores import SqliteStore
from tests.service.sessions.made import create
from tests.service.sessions.stores.crash_writer import commit_after, first_record, state_after


async def main(path: Path, chunks: int) -> None:
    """Append; exactly one line for each chunk and one for each failure."""
    async with SqliteStore(path) as store:
        await create(store, first_record(), state_after(0))
        record = first_record()
        while record.next_seq < chunks:
            commit = commit_after(record)
            try:
                if not await store.commit(commit):
                    raise RuntimeError("nobody else writes")
            except Unavailable as error:
                sys.stdout.write(f"failed {error.detail}\n")
                record = await reread(store)
                continue
            sys.stdout.write(f"{commit.chunk.seq}\n")
            record = commit.record


async def reread(store: SqliteStore):
    """Ask until the store is used again."""
    while True:
        try:
            record = await store.get("t", "s")
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            assert record is not None
            return record


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
