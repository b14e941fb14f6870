"""Questions to a session: their vectors, and what the session remembers for them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.loading import LoadedEncoder
from models.memory import Memory
from models.packing import Segment
from service.encoder_node.reader import slowest, unit
from service.encoder_node.recalling import Recaller
from service.encoder_node.searching import ChunkSearch
from service.encoder_node.tokenizing import segments_of
from service.engine import Engine
from service.errors import Unprocessable
from service.ports import QueryAnswer, QueryCommand, QueryResult, Recollection, StageTimes
from service.sessions.append_tools import AppendTools
from service.sessions.records import SessionRecord
from service.sessions.snapshots import current, snapshot


@dataclass(frozen=True, slots=True)
class _Session:
    """A session that is asked; `memory` is None where nothing can be recalled from it."""

    record: SessionRecord
    memory: Memory | None
    persist_s: float


class Questions:
    """Answers questions to sessions of one model.

    Args:
        model: The encoder and its tokenizer.
        engine: Runs the encoder.
        sessions: What the replica's appends work with.
        recaller: Asks the model's recall head; None where it has none.
        search: Finds the nearest chunks of sessions with an index.
    """

    def __init__(
        self,
        model: LoadedEncoder,
        engine: Engine,
        sessions: AppendTools,
        recaller: Recaller | None,
        search: ChunkSearch,
    ) -> None:
        self._model = model
        self._engine = engine
        self._sessions = sessions
        self._recaller = recaller
        self._search = search

    async def query(self, command: QueryCommand) -> QueryResult:
        """Encode questions, each with an empty memory, and recall what the session remembers for them.

        With an empty memory, because a question stands in no document: its vector is then the one that every index of
        the model's chunk vectors is searched with, whichever session it asks. Encoded against the memory it would be
        comparable with vectors of this session alone, and move with every chunk that is appended.

        Raises:
            BadRequest: a text is not Unicode.
            Unprocessable: `input_too_long`: a question does not fit one segment. `session_has_no_index`,
                `answer_too_large`: as `ChunkSearch.prepare`.
            NotFound, Gone, Conflict, Unavailable: As `service.ports.EncoderPort.query`.
        """
        session = await self._session(command)
        found = await self._search.prepare(session.record, command)
        cut, tokenize_s = await segments_of(self._model.tokenizer, command.texts)
        segments = self._short(cut)
        results = await self._engine.submit(
            segments,
            self._model.encoder.empty_memory(),
            keep_tokens=False,
            keep_memory=False,
        )
        began = time.perf_counter()
        recalled = await self._recall(segments, session.memory)
        vectors = np.stack([unit(result.total / result.tokens) for result in results])
        nearest = await found.nearest(vectors)
        rows = zip(vectors, segments, recalled, nearest, strict=True)
        return QueryResult(
            answers=tuple(
                QueryAnswer(vector, segment.content_tokens, recollection, near)
                for vector, segment, recollection, near in rows
            ),
            next_seq=session.record.next_seq,
            etag=session.record.etag,
            read_tokens=sum(result.tokens for result in results),
            times=slowest(results, tokenize_s)
            + StageTimes(infer=time.perf_counter() - began, persist=session.persist_s),
            searched=found.range,
        )

    async def _session(self, command: QueryCommand) -> _Session:
        """Return the session as of one moment; its state is loaded only where there is something to recall with."""
        if self._recaller is not None:
            whole = await snapshot(self._sessions, command.tenant, command.session_id)
            return _Session(whole.record, whole.state.memory, whole.persist_s)
        began = time.perf_counter()
        record = await current(self._sessions, command.tenant, command.session_id)
        return _Session(record, None, time.perf_counter() - began)

    def _short(self, cut: Sequence[Sequence[Segment]]) -> list[Segment]:
        """Return the one segment of each question."""
        for i, segments in enumerate(cut):
            if len(segments) > 1:
                tokens = sum(segment.content_tokens for segment in segments)
                window = self._model.tokenizer.max_tokens
                raise Unprocessable(
                    "input_too_long",
                    f"texts.{i} has {tokens} tokens; a question has at most {window - 2}: ask a shorter one, or "
                    "append the text as a chunk if it belongs to the document",
                    param=f"texts.{i}",
                    extras={"max_chunk_tokens": window},
                )
        return [segments[0] for segments in cut]

    async def _recall(
        self, segments: Sequence[Segment], memory: Memory | None
    ) -> Sequence[Recollection | None]:
        if self._recaller is None or memory is None:
            return [None] * len(segments)
        return await self._recaller.recall(segments, memory)
