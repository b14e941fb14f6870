"""Fill the file system a store is on, then read and delete; prints what happened as JSON.

Run by the test in a mount namespace of its own, on a file system of a few megabytes.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from service.errors import OutOfStorage
from service.sessions.changes import tombstone
from service.sessions.stores import SqliteStore
from tests.service.sessions.made import TENANT, create, make_commit, make_record

STATE = b"s" * 300_000


def fill(folder: Path) -> int:
    """Use up what is left, as another program would; return how much that was."""
    written = 0
    with (folder / "other").open("wb", buffering=0) as other:
        for size in (1 << 16, 1 << 12, 1 << 8, 1):
            try:
                while True:
                    written += other.write(b"x" * size)
            except OSError:
                continue
    return written


async def create_until_full(store: SqliteStore) -> int:
    created = 0
    try:
        while True:
            assert await create(store, make_record(f"s{created}"), STATE)
            created += 1
    except OutOfStorage:
        return created


async def main(folder: Path) -> dict[str, Any]:
    """Return what was created, refused, read and deleted."""
    async with SqliteStore(folder / "sessions.sqlite3") as store:
        created = await create_until_full(store)
        filled = fill(folder)
        try:
            await store.commit(make_commit(make_record("s0")))
            appended = "stored"
        except OutOfStorage as error:
            appended = error.code
        readable = [
            await store.get_with_state(TENANT, f"s{at}") == (make_record(f"s{at}"), STATE)
            for at in range(created)
        ]
        deleted = []
        for at in range(created):
            record = await store.get(TENANT, f"s{at}")
            assert record is not None
            deleted.append(await store.bury(tombstone(record, "deleted", 9.0)))
        again = await create(store, make_record("after"), STATE)
    return {
        "created": created,
        "filled": filled,
        "appended": appended,
        "readable": all(readable),
        "deleted": sum(deleted),
        "again": again,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
