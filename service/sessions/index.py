"""Search among the chunk vectors of one session: exact, over the newest of them, by the store's own answers."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.errors import Conflict
from service.ports import NearChunk
from service.sessions.records import ChunkRecord, SessionRecord
from service.sessions.recovery import still_known
from service.sessions.stores.base import SessionStore

PAGE: Final = 1024
"""Chunks read from the store at once."""
_QUERIES_AT_ONCE: Final = 16
"""Questions whose scores are held together: each has one for every chunk."""


@dataclass(frozen=True, slots=True)
class ChunkVectors:
    """Vectors of consecutive chunks of one session; never written to.

    Attributes:
        incarnation: The session's.
        first_seq: Number of the first chunk.
        vectors: float32, (chunks, d), unit length.
        places: Content tokens of the session before each chunk, and of the chunk; int64, (chunks, 2).
    """

    incarnation: str
    first_seq: int
    vectors: NDArray[np.float32]
    places: NDArray[np.int64]

    @property
    def next_seq(self) -> int:
        """Number of the chunk that would follow."""
        return self.first_seq + len(self.vectors)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.vectors.nbytes + self.places.nbytes

    def nearest(self, queries: NDArray[np.float32], top_k: int) -> list[tuple[NearChunk, ...]]:
        """Return each query's nearest chunks by descending cosine; of equally near ones the earlier first.

        Args:
            queries: (n, d), unit length.
            top_k: How many at most.
        """
        count = min(top_k, len(self.vectors))
        return [
            self._ranked(row, count)
            for first in range(0, len(queries), _QUERIES_AT_ONCE)
            for row in queries[first : first + _QUERIES_AT_ONCE] @ self.vectors.T
        ]

    def _ranked(self, scores: NDArray[np.float32], count: int) -> tuple[NearChunk, ...]:
        if count == 0:
            return ()
        # All that score as the last one to be taken: which of those goes in is decided by the full sort below.
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= least)
        order = candidates[np.argsort(-scores[candidates], kind="stable")][:count]
        return tuple(
            NearChunk(
                seq=self.first_seq + int(i),
                score=float(scores[i]),
                tokens=int(self.places[i, 1]),
                token_start=int(self.places[i, 0]),
            )
            for i in order
        )


class ChunkIndex:
    """The vectors of sessions that are searched: read from the store, kept beside it as long as there is room.

    Only committed chunks are ever in it, and a search reads what was committed since the last one.

    Args:
        store: Where sessions live; open.
        most_chunks: The newest chunks of a session that a search sees.
        capacity_bytes: Most bytes of vectors kept between searches; 0 keeps none.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        most_chunks: int,
        capacity_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._clock = clock
        self._most_chunks = most_chunks
        self._capacity = capacity_bytes
        self._kept: OrderedDict[tuple[str, str], ChunkVectors] = OrderedDict()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors held."""
        return self._nbytes

    async def vectors(self, record: SessionRecord, dimensions: int) -> ChunkVectors:
        """Return the newest chunks of exactly what `record` describes, of those whose answers are kept.

        There may be none of a session that was imported without its answers, or forked far back.

        Raises:
            NotFound, Gone: The session is over since the record was read.
            Conflict: `request_in_progress` if its chunks are not what the record says.
        """
        session = (record.tenant, record.id)
        found = self._kept.get(session)
        if found is None or found.incarnation != record.incarnation:
            found = _nothing(record.incarnation, self._first(record), dimensions)
        if found.next_seq < record.next_seq:
            found = await self._read_on(record, found)
            self._keep(session, found)
        elif session in self._kept:
            self._kept.move_to_end(session)
        # Another search may have read on beyond the record meanwhile.
        return _until(found, record.next_seq)

    def _first(self, record: SessionRecord) -> int:
        """Return the number of the first chunk that a search sees."""
        return max(record.kept_from, record.next_seq - self._most_chunks)

    async def _read_on(self, record: SessionRecord, known_so_far: ChunkVectors) -> ChunkVectors:
        chunks: list[ChunkRecord] = []
        after = max(known_so_far.next_seq, self._first(record))
        while after < record.next_seq:
            limit = min(PAGE, record.next_seq - after)
            page = await self._store.chunks(record.tenant, record.id, after, limit)
            if not page:
                break
            if page[0].seq != after:
                # Those between are kept no longer, and what is searched has no gap.
                chunks.clear()
            chunks += page
            after = page[-1].seq + 1
        now = await still_known(self._store, record, self._clock())
        if now.kept_from >= record.next_seq:
            return _nothing(record.incarnation, record.next_seq, known_so_far.vectors.shape[1])
        if not chunks or after < record.next_seq:
            raise Conflict(
                "request_in_progress", f"session {record.id} is being written to; try again"
            )
        return await asyncio.to_thread(_joined, known_so_far, chunks, self._most_chunks)

    def _keep(self, session: tuple[str, str], found: ChunkVectors) -> None:
        self._drop(session)
        if found.nbytes > self._capacity:
            return
        self._kept[session] = found
        self._nbytes += found.nbytes
        while self._nbytes > self._capacity:
            self._drop(next(iter(self._kept)))

    def _drop(self, session: tuple[str, str]) -> None:
        old = self._kept.pop(session, None)
        self._nbytes -= 0 if old is None else old.nbytes


def _nothing(incarnation: str, next_seq: int, dimensions: int) -> ChunkVectors:
    vectors = np.empty((0, dimensions), np.float32)
    return ChunkVectors(incarnation, next_seq, vectors, np.empty((0, 2), np.int64))


def _joined(before: ChunkVectors, chunks: list[ChunkRecord], most: int) -> ChunkVectors:
    """Return both end to end, the newest `most` of them; nothing of `before` if there is a gap between them."""
    read = np.frombuffer(b"".join(chunk.embedding for chunk in chunks), "<f4")
    vectors = read.reshape(len(chunks), -1).astype(np.float32)
    places = np.array([(chunk.token_start, chunk.tokens) for chunk in chunks], np.int64)
    first = chunks[0].seq
    if before.next_seq == first:
        first = before.first_seq
        vectors = np.concatenate([before.vectors, vectors])
        places = np.concatenate([before.places, places])
    over = max(0, len(vectors) - most)
    # Copies: a view would keep all of the larger array alive.
    return ChunkVectors(
        before.incarnation, first + over, vectors[over:].copy(), places[over:].copy()
    )


def _until(found: ChunkVectors, next_seq: int) -> ChunkVectors:
    if found.next_seq == next_seq:
        return found
    first = min(found.first_seq, next_seq)
    count = next_seq - first
    return ChunkVectors(found.incarnation, first, found.vectors[:count], found.places[:count])
