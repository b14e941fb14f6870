"""The nearest chunks of a session with an index, for each question to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.encoder_node.tokenizing import require_answerable
from service.errors import Unprocessable
from service.ports import NearChunk, QueryCommand
from service.sessions.index import ChunkIndex, ChunkVectors
from service.sessions.origins import NO_TRAITS
from service.sessions.records import SessionRecord
from service.sessions.stores.base import SessionStore

TOP_K: Final = 10
"""Chunks returned for a question that does not say how many."""
_NUMBERS_OF_A_CHUNK: Final = 4


@dataclass(frozen=True, slots=True)
class Search:
    """A search that is about to be done; `vectors` is None where there is nothing to search.

    Attributes:
        count: Questions that will be asked.
        vectors: What is searched.
        top_k: How many chunks at most are returned for each.
    """

    count: int
    vectors: ChunkVectors | None = None
    top_k: int = 0

    @property
    def range(self) -> tuple[int, int] | None:
        """First and one past the last number of what is searched."""
        if self.vectors is None:
            return None
        return self.vectors.first_seq, self.vectors.next_seq

    async def nearest(self, queries: NDArray[np.float32]) -> Sequence[tuple[NearChunk, ...] | None]:
        """Return what is nearest to each query, (n, d); None where nothing is searched."""
        if self.vectors is None:
            return [None] * self.count
        return await asyncio.to_thread(self.vectors.nearest, queries, self.top_k)


class ChunkSearch:
    """Searches sessions of one model.

    Args:
        store: Where sessions live; open.
        index: Their chunk vectors.
        dimensions: Width of the model's vectors.
        answer_numbers: Most numbers in an answer.
    """

    def __init__(
        self, store: SessionStore, index: ChunkIndex, dimensions: int, answer_numbers: int
    ) -> None:
        self._store = store
        self._index = index
        self._dimensions = dimensions
        self._answer_numbers = answer_numbers

    async def prepare(self, record: SessionRecord, command: QueryCommand) -> Search:
        """Return the search for a command's questions, over exactly what `record` describes.

        Raises:
            Unprocessable: `session_has_no_index` if chunks are asked for and the session has none; `answer_too_large`.
            NotFound, Gone, Conflict: as `ChunkIndex.vectors`.
        """
        count = len(command.texts)
        traits = await self._store.traits(record.tenant, [record.id])
        if not traits.get(record.id, NO_TRAITS).indexed:
            if command.top_k is not None:
                raise Unprocessable(
                    "session_has_no_index",
                    f"session {record.id} is not searched; begin one with index: true for top_k",
                    "top_k",
                )
            return Search(count)
        top_k = TOP_K if command.top_k is None else command.top_k
        numbers = count * min(top_k, record.next_seq) * _NUMBERS_OF_A_CHUNK
        require_answerable(numbers, self._answer_numbers, "ask fewer questions or for fewer chunks")
        vectors = await self._index.vectors(record, self._dimensions)
        return Search(count, vectors, top_k)
