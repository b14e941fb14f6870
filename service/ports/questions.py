"""What a session is asked beside appends: a second look at its chunks, and questions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.ports.values import StageTimes


@dataclass(frozen=True, slots=True)
class RevisitCommand:
    """Chunks of a session to be encoded once more, now that its document is complete.

    Attributes:
        tenant: Owner of the session.
        session_id: The session.
        first_seq: Sequence number of the first chunk.
        chunks: Texts as they were appended, in order; none only completes the session.
        if_match: Entity tags of which a session that is not complete yet must have one; `*` stands for any, None for no
            condition.
    """

    tenant: str
    session_id: str
    first_seq: int
    chunks: tuple[str, ...]
    if_match: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RevisitedChunk:
    """A chunk at second look.

    Attributes:
        seq: Position of the chunk in its session, from 0.
        embedding: float32, (dimensions,), unit length.
        tokens: Content tokens of the chunk (CLS and SEP not counted).
    """

    seq: int
    embedding: NDArray[np.float32]
    tokens: int


@dataclass(frozen=True, slots=True)
class RevisitResult:
    """Chunks at second look, in their order.

    Attributes:
        chunks: One per text of the command.
        read_tokens: Tokens encoded, CLS and SEP of every segment included.
        times: Where the time went.
    """

    chunks: tuple[RevisitedChunk, ...]
    read_tokens: int
    times: StageTimes


@dataclass(frozen=True, slots=True)
class QueryCommand:
    """Questions to a session.

    Attributes:
        tenant: Owner of the session.
        session_id: The session.
        texts: The questions; each has to fit one segment.
        top_k: How many of the session's nearest chunks to return for each; None for the default of a session that is
            searched, and none of one that is not.
    """

    tenant: str
    session_id: str
    texts: tuple[str, ...]
    top_k: int | None = None


@dataclass(frozen=True, slots=True)
class NearChunk:
    """A chunk that was found.

    Attributes:
        seq: Its number.
        score: Cosine of its vector and the question's.
        tokens: Content tokens of it.
        token_start: Content tokens of the session before it.
    """

    seq: int
    score: float
    tokens: int
    token_start: int


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a session remembers for a question.

    Attributes:
        answer: Digits of a number that the text asked to be remembered, or None if none fits.
        confidence: In [0, 1]; for an answer of several digits that of the least certain one.
        found: Whether there is an answer.
    """

    answer: str | None
    confidence: float
    found: bool


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What one question came back as.

    Attributes:
        embedding: float32, (dimensions,), unit length; of the question alone.
        tokens: Content tokens of the question (CLS and SEP not counted).
        recall: What the session remembers; None on a model that cannot recall.
        nearest: The session's chunks nearest to the question, best first; None of a session that is not searched.
    """

    embedding: NDArray[np.float32]
    tokens: int
    recall: Recollection | None
    nearest: tuple[NearChunk, ...] | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Answers to questions, in their order.

    Attributes:
        answers: One per text of the command.
        next_seq: Chunks the session had read when it was asked.
        etag: Entity tag it had then, without quotes.
        read_tokens: Tokens encoded, CLS and SEP included.
        times: Where the time went.
        searched: First and one past the last number of the chunks that were searched; None where none were.
    """

    answers: tuple[QueryAnswer, ...]
    next_seq: int
    etag: str
    read_tokens: int
    times: StageTimes
    searched: tuple[int, int] | None = None
