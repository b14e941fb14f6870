"""Documents without a session, and memories, of the encoder without a model."""

import hashlib
import json

import numpy as np

from service.errors import Unprocessable
from service.ports import (
    ChunkAnswer,
    MemoryCommand,
    MemoryResult,
    ModelInfo,
    PartFigures,
    ReadCommand,
    ReadResult,
    StageTimes,
)
from tests.service.api.fake_vectors import fake_vector

SPECIAL_TOKENS = 2
"""CLS and SEP of a chunk, which is one segment here."""


class FakeStates:
    """The part of a fake encoder that reads chunks into states: a chain of digests."""

    _info: ModelInfo
    _times: StageTimes

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks; a vector depends on all chunks before it."""
        self._require_memory()
        past, tokens = "", 0
        if command.state is not None and command.state.startswith(b"{"):
            past, tokens = json.loads(command.state).values()
        answers = []
        for seq, text in enumerate(command.chunks, command.next_seq):
            past = hashlib.sha256(f"{past}{text}".encode()).hexdigest()
            count = len(text.split())
            vector = fake_vector(past, self._info.dimensions)
            answers.append(ChunkAnswer(seq, vector, count, tokens, replayed=False))
            tokens += count
        return ReadResult(
            tuple(answers),
            command.next_seq + len(answers),
            tokens,
            json.dumps({"past": past, "tokens": tokens}).encode() if command.want_state else b"",
            fake_vector(f"document {past}", self._info.dimensions),
            self._times,
            sum(answer.tokens + SPECIAL_TOKENS for answer in answers),
        )

    async def verify(self, state: bytes) -> None:
        """Accept what is not empty."""
        self._require_memory()
        if not state:
            raise Unprocessable("invalid_state", "empty")

    async def memory(self, command: MemoryCommand) -> MemoryResult:
        """Describe a memory of two layers and three heads, and a recall head."""
        self._require_memory()
        grid = np.arange(6, dtype=np.float32).reshape(2, 3)
        one = np.float32(1.5)
        parts = (
            PartFigures(
                "matrix", (2, 3, 4, 4), ("layer", "head"), grid, grid + 1, grid / np.float32(6)
            ),
            PartFigures("normaliser", (2, 3, 4), ("layer", "head"), grid, None, None),
            PartFigures("recall.gram", (5, 5), (), *(np.asarray(one * n) for n in (1, 2, 0))),
        )
        return MemoryResult(
            3, "fake.3", 12, 4_096, (1, 4), grid / np.float32(10), parts, None, 2.5, self._times
        )

    def _require_memory(self) -> None:
        if self._info.memory_bytes == 0:
            raise Unprocessable("model_has_no_memory", "no memory")
