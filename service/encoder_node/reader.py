"""From text to vectors through the engine: whole texts, chunk after chunk."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import TextError
from models.loading import LoadedEncoder
from models.memory import Memory
from models.packing import Segment
from service.engine import Engine, SegmentResult, SequenceResult
from service.errors import BadRequest, Unprocessable
from service.ports import EmbedResult, StageTimes
from service.sessions.reading import Reading

SEQUENCES_AT_ONCE: Final = 4
"""Texts over the window that one request may have in the engine at once; more would take every turn."""


class TextReader:
    """Cuts texts into segments, sends them through the engine, and pools what comes back.

    A text's vector is the mean over all its token vectors, CLS and SEP of each segment included, at unit length:
    the token-weighted mean of its segments' means. One segment gives exactly the checkpoint's sentence vector.

    Args:
        model: The encoder and its tokenizer.
        engine: Runs the encoder.
    """

    def __init__(self, model: LoadedEncoder, engine: Engine) -> None:
        self._model = model
        self._engine = engine

    def empty(self) -> Memory:
        """Return the memory of a document of which nothing has been read."""
        return self._model.encoder.empty_memory()

    async def read(self, text: str, memory: Memory) -> Reading:
        """Read one chunk of any length against a memory, segment after segment.

        Raises:
            BadRequest: the text is not Unicode.
            Unavailable: `overloaded`, `draining`.
        """
        [segments], tokenize_s = await self._segments([text])
        result = await self._engine.read(segments, memory)
        return Reading(
            embedding=_unit(result.total / result.tokens),
            tokens=sum(segment.content_tokens for segment in segments),
            memory=result.memory,
            times=StageTimes(tokenize=tokenize_s, queue=result.queue_s, infer=result.infer_s),
        )

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts without a session; see `service.ports.EncoderPort.embed`.

        Raises:
            BadRequest: a text is not Unicode.
            Unprocessable: `input_too_long` on a model without memory.
            Unavailable: `overloaded`, `draining`.
        """
        cut, tokenize_s = await self._segments(texts)
        truncated = 0
        if not self._model.encoder.has_memory:
            truncated = self._fit(cut, truncate=truncate)
        results = await self._encode(cut)
        return EmbedResult(
            vectors=np.stack([_unit(result.total / result.tokens) for result in results]),
            tokens=sum(len(segment.ids) for segments in cut for segment in segments),
            truncated_tokens=truncated,
            # Texts run side by side, so a request waited for the slowest of them.
            times=StageTimes(
                tokenize=tokenize_s,
                queue=max(result.queue_s for result in results),
                infer=max(result.infer_s for result in results),
            ),
        )

    async def _encode(
        self, cut: Sequence[Sequence[Segment]]
    ) -> list[SegmentResult | SequenceResult]:
        """Encode texts of one segment in one go, and longer ones through a fresh memory, a few at a time."""
        few = asyncio.Semaphore(SEQUENCES_AT_ONCE)

        async def document(segments: Sequence[Segment]) -> SequenceResult:
            async with few:
                return await self._engine.read(segments, self.empty())

        memory = self.empty() if self._model.encoder.has_memory else None
        short = [segments[0] for segments in cut if len(segments) == 1]
        batch = asyncio.create_task(self._engine.submit(short, memory))
        documents = [asyncio.create_task(document(segs)) for segs in cut if len(segs) > 1]
        tasks = [batch, *documents]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # one that failed leaves nobody to wait for the others
                task.cancel()
        shorts, longs = iter(batch.result()), (task.result() for task in documents)
        return [next(shorts) if len(segments) == 1 else next(longs) for segments in cut]

    def _fit(self, cut: list[list[Segment]], *, truncate: bool) -> int:
        """Keep the first segment of each text, or refuse; return the tokens dropped."""
        dropped = 0
        for i, segments in enumerate(cut):
            over = sum(segment.content_tokens for segment in segments[1:])
            if over and not truncate:
                window = self._model.tokenizer.max_tokens
                raise Unprocessable(
                    "input_too_long",
                    f"input {i} has {over + segments[0].content_tokens} tokens; this model reads {window - 2} and "
                    'has no memory: send shorter texts, use a model with memory, or set "truncate": true',
                    param=f"input.{i}",
                    extras={"max_chunk_tokens": window},
                )
            dropped += over
            del segments[1:]
        return dropped

    async def _segments(self, texts: Sequence[str]) -> tuple[list[list[Segment]], float]:
        begun = time.monotonic()
        try:
            # The tokenizer leaves the interpreter's lock alone, so the event loop goes on meanwhile.
            cut = await asyncio.to_thread(self._model.tokenizer.segments, texts)
        except TextError as error:
            raise BadRequest("invalid_request", str(error)) from error
        return cut, time.monotonic() - begun


def _unit(mean: NDArray[np.floating]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit
