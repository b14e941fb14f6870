"""From text to vectors through the engine: whole texts, chunk after chunk."""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.loading import LoadedEncoder
from models.memory import Memory
from models.packing import Segment
from service.encoder_node.tokenizing import (
    require_answerable,
    segments_of,
    tokens_of,
    with_special_tokens,
)
from service.engine import Engine, SegmentResult, SequenceResult
from service.errors import Unprocessable
from service.ports import (
    EmbedResult,
    EncodeResult,
    StageTimes,
    TextTokens,
    TokenizeResult,
    TokenVectors,
)
from service.sessions.reading import Reading, SecondLook

SEQUENCES_AT_ONCE: Final = 4
"""Texts over the window that one request may have in the engine at once; more would take every turn."""
NUMBERS_OF_A_TOKEN: Final = 3
"""Its id, its first character, and the one after its last."""


class TextReader:
    """Cuts texts into segments, sends them through the engine, and pools what comes back.

    A text's vector is the mean over all its token vectors, CLS and SEP of each segment included, at unit length:
    the token-weighted mean of its segments' means. One segment gives exactly the checkpoint's sentence vector.

    Args:
        model: The encoder and its tokenizer.
        engine: Runs the encoder.
        answer_numbers: Most numbers in one answer about tokens.
    """

    def __init__(self, model: LoadedEncoder, engine: Engine, answer_numbers: int) -> None:
        self._model = model
        self._engine = engine
        self._answer_numbers = answer_numbers

    def empty(self) -> Memory:
        """Return the memory of a document of which nothing has been read."""
        return self._model.encoder.empty_memory()

    async def read(self, text: str, memory: Memory, *, admitted: bool = False) -> Reading:
        """Read one chunk of any length against a memory, segment after segment.

        Args:
            text: The chunk.
            memory: What was read before; it stays as it is.
            admitted: Whether it goes on with a request that was let in.

        Raises:
            BadRequest: the text is not Unicode.
            Unavailable: `overloaded`, `draining`.
        """
        [segments], tokenize_s = await segments_of(self._model.tokenizer, [text])
        result = await self._engine.read(segments, memory, admitted=admitted)
        return Reading(
            embedding=unit(result.total / result.tokens),
            tokens=sum(segment.content_tokens for segment in segments),
            read_tokens=result.tokens,
            memory=result.memory,
            times=StageTimes(tokenize=tokenize_s, queue=result.queue_s, infer=result.infer_s),
        )

    async def look(self, texts: Sequence[str], memory: Memory) -> SecondLook:
        """Encode chunks of any length against a memory that stays as it is.

        All segments meet the same memory, those of one chunk too: it already knows what stands before them.

        Raises:
            BadRequest: a text is not Unicode.
            Unavailable: `overloaded`, `draining`.
        """
        cut, tokenize_s = await segments_of(self._model.tokenizer, texts)
        segments = [segment for segments in cut for segment in segments]
        results = await self._engine.submit(segments, memory, keep_memory=False)
        following = iter(results)
        totals = [np.sum([next(following).total for _ in one], axis=0, dtype=float) for one in cut]
        return SecondLook(
            embeddings=np.stack([unit(total) for total in totals]),
            tokens=tuple(sum(segment.content_tokens for segment in one) for one in cut),
            read_tokens=sum(result.tokens for result in results),
            times=slowest(results, tokenize_s),
        )

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts without a session; see `service.ports.EncoderPort.embed`.

        Raises:
            BadRequest: a text is not Unicode.
            Unprocessable: `input_too_long` on a model without memory.
            Unavailable: `overloaded`, `draining`.
        """
        cut, tokenize_s = await segments_of(self._model.tokenizer, texts)
        truncated = self._fit(cut, truncate=truncate)
        results = await self._encode(cut)
        return _embedded(results, truncated, tokenize_s)

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Encode texts with all their tokens; see `service.ports.EncoderPort.encode`.

        Raises:
            BadRequest: a text is not Unicode.
            Unprocessable: `answer_too_large`; `input_too_long` on a model without memory.
            Unavailable: `overloaded`, `draining`.
        """
        tokenized, tokenize_s = await tokens_of(self._model.tokenizer, texts)
        cut = [self._model.tokenizer.cut(text.ids) for text in tokenized]
        truncated = self._fit(cut, truncate=truncate)
        tokens = sum(len(segment.ids) for segments in cut for segment in segments)
        width, limit = self._model.encoder.config.width, self._answer_numbers
        advice = f"{tokens} tokens of {width} numbers each; send at most {limit // width} at once"
        require_answerable(tokens * width, limit, advice)
        results = await self._encode(cut, keep_tokens=True)
        return EncodeResult(
            _embedded(results, truncated, tokenize_s),
            tuple(
                TokenVectors(with_special_tokens(text, segments), _kept(result))
                for text, segments, result in zip(tokenized, cut, results, strict=True)
            ),
        )

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Find the tokens of texts; see `service.ports.EncoderPort.tokenize`.

        Raises:
            BadRequest: a text is not Unicode.
            Unprocessable: `answer_too_large`.
        """
        tokenized, tokenize_s = await tokens_of(self._model.tokenizer, texts)
        tokens, limit = sum(len(text.ids) for text in tokenized), self._answer_numbers
        advice = f"{tokens} tokens; send at most {limit // NUMBERS_OF_A_TOKEN} at once"
        require_answerable(tokens * NUMBERS_OF_A_TOKEN, limit, advice)
        return TokenizeResult(
            tuple(TextTokens(text.ids, text.pieces, text.offsets) for text in tokenized),
            StageTimes(tokenize=tokenize_s),
        )

    async def _encode(
        self, cut: Sequence[Sequence[Segment]], *, keep_tokens: bool = False
    ) -> list[SegmentResult | SequenceResult]:
        """Encode texts of one segment in one go, and longer ones through a fresh memory, a few at a time."""
        few = asyncio.Semaphore(SEQUENCES_AT_ONCE)

        async def document(i: int, segments: Sequence[Segment]) -> SequenceResult:
            async with few:
                # Those that begin after others have ended are not refused: what was read would be lost.
                return await self._engine.read(
                    segments,
                    self.empty(),
                    keep_tokens=keep_tokens,
                    admitted=i >= SEQUENCES_AT_ONCE,
                )

        memory = self.empty() if self._model.encoder.has_memory else None
        short = [segments[0] for segments in cut if len(segments) == 1]
        batch = asyncio.create_task(
            self._engine.submit(short, memory, keep_tokens=keep_tokens, keep_memory=False)
        )
        long = [segments for segments in cut if len(segments) > 1]
        documents = [asyncio.create_task(document(i, one)) for i, one in enumerate(long)]
        tasks = [batch, *documents]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # one that failed leaves nobody to wait for the others
                task.cancel()
        shorts, longs = iter(batch.result()), (task.result() for task in documents)
        return [next(shorts) if len(segments) == 1 else next(longs) for segments in cut]

    def _fit(self, cut: list[list[Segment]], *, truncate: bool) -> int:
        """Without memory, keep the first segment of each text, or refuse; return the tokens dropped."""
        if self._model.encoder.has_memory:
            return 0
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


def _embedded(
    results: Sequence[SegmentResult | SequenceResult], truncated: int, tokenize_s: float
) -> EmbedResult:
    return EmbedResult(
        vectors=np.stack([unit(result.total / result.tokens) for result in results]),
        tokens=sum(result.tokens for result in results),
        truncated_tokens=truncated,
        times=slowest(results, tokenize_s),
    )


def slowest(results: Sequence[SegmentResult | SequenceResult], tokenize_s: float) -> StageTimes:
    """Return the times of a request whose texts ran side by side: it waited for the slowest of them."""
    return StageTimes(
        tokenize=tokenize_s,
        queue=max(result.queue_s for result in results),
        infer=max(result.infer_s for result in results),
    )


def _kept(result: SegmentResult | SequenceResult) -> NDArray[np.float32]:
    if result.token_vectors is None:
        raise TypeError("the engine was not asked to keep token vectors")
    return result.token_vectors


def unit(mean: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return a vector at unit length, float32; zeros stay zeros."""
    length = max(float(np.linalg.norm(mean)), 1e-12)
    scaled: NDArray[np.float32] = (mean / length).astype(np.float32)
    return scaled
