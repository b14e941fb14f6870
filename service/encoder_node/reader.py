"""From text to vectors through the engine: whole texts, chunk after chunk."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import TextError
from models.loading import LoadedEncoder
from models.memory import Memory
from models.packing import Segment
from service.engine import Engine, SegmentResult
from service.errors import BadRequest, Unprocessable
from service.ports import EmbedResult, StageTimes
from service.sessions.reading import Reading


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
        results: list[SegmentResult] = []
        for segment in segments:
            [result] = await self._engine.submit([segment], memory)
            if result.memory is None:
                raise TypeError(f"{self._model.attention} has no memory to read with")
            memory = result.memory
            results.append(result)
        return Reading(
            embedding=_pool(results),
            tokens=sum(segment.content_tokens for segment in segments),
            memory=memory,
            times=StageTimes(
                tokenize=tokenize_s,
                queue=sum(result.queue_s for result in results),
                infer=sum(result.infer_s for result in results),
            ),
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
        short = [i for i, segments in enumerate(cut) if len(segments) == 1]
        long = [i for i, segments in enumerate(cut) if len(segments) > 1]
        memory = self.empty() if self._model.encoder.has_memory else None
        batch, documents = await asyncio.gather(
            self._engine.submit([cut[i][0] for i in short], memory),
            asyncio.gather(*(self.read(texts[i], self.empty()) for i in long)),
        )
        vectors = np.empty((len(texts), self._model.encoder.config.width), np.float32)
        for i, result in zip(short, batch, strict=True):
            vectors[i] = _pool([result])
        for i, reading in zip(long, documents, strict=True):
            vectors[i] = reading.embedding
        return EmbedResult(
            vectors=vectors,
            tokens=sum(len(segment.ids) for segments in cut for segment in segments),
            truncated_tokens=truncated,
            times=_slowest(tokenize_s, batch, documents),
        )

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


def _pool(results: Sequence[SegmentResult]) -> NDArray[np.float32]:
    # A chunk may be a whole book: sum in double precision.
    totals = np.stack([result.total for result in results]).astype(np.float64)
    mean = totals.sum(axis=0) / sum(result.tokens for result in results)
    unit: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit


def _slowest(
    tokenize_s: float, batch: Sequence[SegmentResult], documents: Sequence[Reading]
) -> StageTimes:
    """Texts run side by side, so a request waited for the slowest of them."""
    queue = [result.queue_s for result in batch] + [reading.times.queue for reading in documents]
    infer = [result.infer_s for result in batch] + [reading.times.infer for reading in documents]
    return StageTimes(tokenize=tokenize_s, queue=max(queue), infer=max(infer))
