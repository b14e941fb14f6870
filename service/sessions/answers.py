"""What one chunk came back as: from a reading to the store's bytes, and from those to the caller."""

import numpy as np

from service.ports import ChunkAnswer
from service.sessions.reading import Reading
from service.sessions.records import ChunkRecord, SessionRecord


def chunk_record(record: SessionRecord, digest: bytes, reading: Reading) -> ChunkRecord:
    """Return what to store of the chunk that follows `record`; `digest` is its `chunk_digest`."""
    return ChunkRecord(
        seq=record.next_seq,
        digest=digest,
        embedding=np.ascontiguousarray(reading.embedding, "<f4").tobytes(),
        tokens=reading.tokens,
        token_start=record.tokens,
    )


def chunk_answer(chunk: ChunkRecord, *, replayed: bool) -> ChunkAnswer:
    """Return what the caller is told; a replay is told the very same bytes."""
    return ChunkAnswer(
        seq=chunk.seq,
        embedding=np.frombuffer(chunk.embedding, "<f4").astype(np.float32),
        tokens=chunk.tokens,
        token_start=chunk.token_start,
        replayed=replayed,
    )
