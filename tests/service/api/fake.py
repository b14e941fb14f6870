"""An encoder without a model: deterministic vectors at no cost, for tests of the HTTP layer."""

import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.errors import Conflict, PreconditionFailed, RoundFull, Unprocessable
from service.ports import (
    AppendCommand,
    AppendResult,
    AttentionCommand,
    AttentionResult,
    ChunkAnswer,
    EmbedResult,
    EncodeResult,
    ModelInfo,
    QueryAnswer,
    QueryCommand,
    QueryResult,
    RevisitCommand,
    RevisitedChunk,
    RevisitResult,
    StageTimes,
    TokenizeResult,
    TokenVectors,
)
from tests.service.api.fake_questions import fake_nearest, fake_recall, out_of_sequence
from tests.service.api.fake_states import SPECIAL_TOKENS, FakeStates
from tests.service.api.fake_tokens import fake_attention, fake_tokens
from tests.service.api.fake_vectors import fake_vector


@dataclass(slots=True)
class FakeSession:
    """What a fake encoder has read of one session; it is gone with the process."""

    texts: list[str] = field(default_factory=list)
    answers: list[ChunkAnswer] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    past: str = ""
    completed: bool = False

    @property
    def version(self) -> int:
        """How often it was written to: once a chunk, and once when it was completed."""
        return len(self.texts) + self.completed

    @property
    def etag(self) -> str:
        """Entity tag: the version."""
        return f"fake.{self.version}"

    def complete(self, if_match: tuple[str, ...] | None) -> None:
        """Take no more chunks; a condition is about a session that still does."""
        if not self.completed:
            self.require(if_match)
            self.completed = True

    def require(self, if_match: tuple[str, ...] | None) -> None:
        """Refuse if the entity tag is none of these."""
        if if_match is not None and not {self.etag, "*"} & set(if_match):
            raise PreconditionFailed(
                "precondition_failed",
                f"The session is at {self.etag}.",
                extras={"next_seq": len(self.texts)},
            )

    def read(self, text: str, dimensions: int) -> ChunkAnswer:
        """Read the next chunk; its vector depends on all chunks before it."""
        self.texts.append(text)
        # A chain of digests: a function of all chunks so far at the cost of one.
        self.past = hashlib.sha256(f"{self.past}{text}".encode()).hexdigest()
        tokens = _words(text)
        answer = ChunkAnswer(
            seq=len(self.answers),
            embedding=fake_vector(self.past, dimensions),
            tokens=tokens,
            token_start=self.tokens,
            replayed=False,
        )
        self.answers.append(answer)
        self.tokens += tokens
        return answer


async def _open() -> None:
    """Let every call pass."""


class FakeEncoder(FakeStates):
    """An `EncoderPort` whose vectors are hashes and whose tokens are words.

    Args:
        info: What it says it is; more words than `max_chunk_tokens` are too long without a memory.
        gate: Awaited before each call but `info`, to delay it, to block it or to raise.
        times: What every call claims to have spent.
    """

    def __init__(
        self,
        info: ModelInfo,
        gate: Callable[[], Awaitable[None]] = _open,
        times: StageTimes | None = None,
    ) -> None:
        self._info = info
        self._gate = gate
        self._times = times or StageTimes()
        self.recalls = self.searches = False
        self.refusal: RoundFull | None = None
        self._sessions: defaultdict[tuple[str, str], FakeSession] = defaultdict(FakeSession)

    def session(self, tenant: str, session_id: str) -> FakeSession:
        """Return what was read of a session; any id is a session."""
        return self._sessions[tenant, session_id]

    def full(self) -> RoundFull | None:
        """Return what a test says."""
        return self.refusal

    async def info(self) -> ModelInfo:
        """Describe the model."""
        return self._info

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Hash texts; raises `Unprocessable` `input_too_long` as a real model does."""
        await self._gate()
        counts = [_words(text) for text in texts]
        window = self._info.max_chunk_tokens
        excess = sum(max(0, count - window) for count in counts)
        if self._info.memory_bytes > 0:
            excess = 0
        if excess and not truncate:
            raise Unprocessable("input_too_long", f"input: more than {window} tokens.", "input")
        vectors = np.stack([fake_vector(text, self._info.dimensions) for text in texts])
        return EmbedResult(vectors, sum(counts) - excess, excess, self._times)

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Hash texts and each of their words."""
        embedded = await self.embed(texts, truncate=truncate)
        window = None if self._info.memory_bytes else self._info.max_chunk_tokens
        listed = [fake_tokens(text, window, special=True) for text in texts]
        dimensions = self._info.dimensions
        return EncodeResult(
            embedded,
            tuple(
                TokenVectors(
                    one, np.stack([fake_vector(piece, dimensions) for piece in one.pieces])
                )
                for one in listed
            ),
        )

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Cut texts into words."""
        await self._gate()
        return TokenizeResult(tuple(fake_tokens(text) for text in texts), self._times)

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Show made-up attention; refuse a context without memory and a text over the window."""
        await self._gate()
        memory = self._info.memory_bytes > 0
        if command.context is not None and not memory:
            raise Unprocessable("model_has_no_memory", "no memory", "context")
        if _words(command.text) > self._info.max_chunk_tokens:
            raise Unprocessable("input_too_long", "too long", "input")
        return fake_attention(command, self._times, memory=memory)

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read chunks by the rules of the contract: replay, then condition, then order."""
        await self._gate()
        session = self.session(command.tenant, command.session_id)
        first = self._first_seq(session, command)
        mine = not command.key_moves or session.keys.get(command.idempotency_key or "") == first
        answers = tuple(
            self._one(session, seq, text, command.if_match if seq == first else None, mine=mine)
            for seq, text in enumerate(command.chunks, start=first)
        )
        if command.idempotency_key is not None:
            session.keys[command.idempotency_key] = first
        document = None
        if command.want_document:
            document = fake_vector(f"document {session.past}", self._info.dimensions)
        read = sum(answer.tokens + SPECIAL_TOKENS for answer in answers if not answer.replayed)
        return AppendResult(answers, len(session.texts), session.etag, document, self._times, read)

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Complete, then look at chunks: their vectors depend on the whole document."""
        await self._gate()
        session = self.session(command.tenant, command.session_id)
        for seq, text in enumerate(command.chunks, command.first_seq):
            if session.texts[seq : seq + 1] != [text]:
                raise out_of_sequence(len(session.texts), seq)
        session.complete(command.if_match)
        chunks = tuple(
            RevisitedChunk(
                seq, fake_vector(f"{session.past} {text}", self._info.dimensions), _words(text)
            )
            for seq, text in enumerate(command.chunks, command.first_seq)
        )
        return RevisitResult(
            chunks, sum(chunk.tokens + SPECIAL_TOKENS for chunk in chunks), self._times
        )

    async def query(self, command: QueryCommand) -> QueryResult:
        """Hash questions; remember the texts that end with a question's words."""
        await self._gate()
        session = self.session(command.tenant, command.session_id)
        embedded = await self.embed(command.texts, truncate=False)
        near = fake_nearest(session.answers, command.top_k) if self.searches else None
        answers = tuple(
            QueryAnswer(
                vector,
                _words(text),
                fake_recall(session.texts, text) if self.recalls else None,
                near,
            )
            for vector, text in zip(embedded.vectors, command.texts, strict=True)
        )
        read = len(session.texts)
        searched = (0, read) if self.searches else None
        return QueryResult(answers, read, session.etag, embedded.tokens, self._times, searched)

    async def check(self) -> None:
        """Pass, unless the gate raises."""
        await self._gate()

    def _first_seq(self, session: FakeSession, command: AppendCommand) -> int:
        if command.first_seq is not None:
            return command.first_seq
        return session.keys.get(command.idempotency_key or "", len(session.texts))

    def _one(
        self,
        session: FakeSession,
        seq: int,
        text: str,
        if_match: tuple[str, ...] | None,
        *,
        mine: bool,
    ) -> ChunkAnswer:
        expected = len(session.texts)
        if mine and seq < expected and session.texts[seq] == text:
            kept = session.answers[seq]
            return ChunkAnswer(
                kept.seq, kept.embedding, kept.tokens, kept.token_start, replayed=True
            )
        if session.completed:
            raise Conflict("session_completed", "complete", extras={"next_seq": expected})
        session.require(if_match)
        if seq != expected:
            raise out_of_sequence(expected, seq)
        return session.read(text, self._info.dimensions)


def _words(text: str) -> int:
    return len(text.split())
