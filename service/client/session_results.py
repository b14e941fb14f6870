"""What a session answers beside appends, as frozen values; see `service.client.results`."""

from dataclasses import dataclass
from typing import Self

from service.client.results import Json, Session, Vector, decode_vector


@dataclass(frozen=True, slots=True)
class RevisitedChunk:
    """A chunk at second look.

    Attributes:
        seq: Position in the session, from 0.
        embedding: float32, (dimensions,), unit length; knows what came before and what came after.
        tokens: Content tokens of the chunk.
    """

    seq: int
    embedding: Vector
    tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(int(body["seq"]), decode_vector(body["embedding"]), int(body["tokens"]))


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Chunks of a completed session, encoded against the memory of the whole document.

    Attributes:
        session: The session, completed.
        chunks: One per text, in order.
        tokens: Tokens that were encoded.
    """

    session: Session
    chunks: tuple[RevisitedChunk, ...]
    tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        return cls(
            Session.of(body["session"]),
            tuple(RevisitedChunk.of(item) for item in body["chunks"]),
            int(body["usage"]["prompt_tokens"]),
        )


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a session remembers for a question.

    Attributes:
        answer: Digits of a number that the text asked to be remembered; None if none fits.
        confidence: In [0, 1].
        found: Whether there is an answer.
    """

    answer: str | None
    confidence: float
    found: bool

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        answer = body["answer"]
        return cls(
            None if answer is None else str(answer), float(body["confidence"]), bool(body["found"])
        )


@dataclass(frozen=True, slots=True)
class NearChunk:
    """A chunk of the session that is near to a question.

    Attributes:
        seq: Its number.
        score: Cosine of its vector and the question's.
        token_start: Content tokens of the session before it.
        token_end: The same after it.
    """

    seq: int
    score: float
    token_start: int
    token_end: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        token_start, token_end = body["token_range"]
        return cls(int(body["seq"]), float(body["score"]), int(token_start), int(token_end))


@dataclass(frozen=True, slots=True)
class Question:
    """A question, answered.

    Attributes:
        embedding: float32, (dimensions,), unit length; of the question alone, as `embed` gives it.
        tokens: Content tokens of the question.
        recall: What the session remembers; None on a model that cannot recall.
        nearest: The session's chunks nearest to the question, best first; None if it has no index.
    """

    embedding: Vector
    tokens: int
    recall: Recollection | None
    nearest: tuple[NearChunk, ...] | None

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON."""
        recall, nearest = body["recall"], body["nearest"]
        return cls(
            decode_vector(body["embedding"]),
            int(body["tokens"]),
            None if recall is None else Recollection.of(recall),
            None if nearest is None else tuple(NearChunk.of(item) for item in nearest),
        )


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Answers of a session to questions.

    Attributes:
        questions: One per text, in order.
        next_seq: Chunks the session had read when it was asked.
        tokens: Tokens that were encoded.
    """

    questions: tuple[Question, ...]
    next_seq: int
    tokens: int

    @classmethod
    def of(cls, body: Json) -> Self:
        """Read it from JSON; the answers come back in the order of the questions."""
        rows = sorted(body["data"], key=lambda item: int(item["index"]))
        return cls(
            tuple(Question.of(row) for row in rows),
            int(body["next_seq"]),
            int(body["usage"]["prompt_tokens"]),
        )
