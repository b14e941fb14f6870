"""Appends to one session for ever and prints each number once its commit was acknowledged.

Run by the durability test, which kills it. Needs no torch, so that it starts fast.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.sessions.codec import StateArrays, encode
from service.sessions.protocol import chunk_digest
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores import Commit, SqliteStore
from tests.service.sessions.made import create

SHAPE = (2, 4, 32, 32)


def state_after(chunks: int) -> bytes:
    """Return the state of a session that has read so many chunks."""
    return encode(
        StateArrays(
            parts={
                "matrix": np.full(SHAPE, chunks, np.float32),
                "normaliser": np.full(SHAPE[:3], chunks, np.float32),
            },
            tokens_seen=chunks,
            document=np.full(8, chunks, np.float64),
            tokens=chunks,
        )
    )


def commit_after(record: SessionRecord) -> Commit:
    """Return the commit of the chunk that follows."""
    seq = record.next_seq
    return Commit(
        expected_version=record.version,
        record=replace(record, version=seq + 1, next_seq=seq + 1, tokens=seq + 1),
        state=state_after(seq + 1),
        chunk=ChunkRecord(seq, chunk_digest(f"chunk {seq}"), bytes([seq % 256]) * 1536, 1, seq),
        key=KeyRecord(f"key {seq}", b"d" * 32, seq),
    )


def first_record() -> SessionRecord:
    """Return the session everything is written to."""
    return SessionRecord("t", "s", "i", "m", "f", "open", 0, 0, 0, 0.0, 0.0, "{}", 0)


async def main(path: Path) -> None:
    """Append until killed."""
    async with SqliteStore(path) as store:
        await create(store, first_record(), state_after(0))
        record = await store.get("t", "s")
        while record is not None:
            commit = commit_after(record)
            if not await store.commit(commit):
                raise RuntimeError("nobody else writes")
            sys.stdout.write(f"{commit.chunk.seq}\n")
            sys.stdout.flush()
            record = commit.record


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
