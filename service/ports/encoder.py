"""What a served model can be asked."""

from collections.abc import Sequence
from typing import Protocol

from service.errors import RoundFull
from service.ports.questions import QueryCommand, QueryResult, RevisitCommand, RevisitResult
from service.ports.reading import MemoryCommand, MemoryResult, ReadCommand, ReadResult
from service.ports.tokens import AttentionCommand, AttentionResult, EncodeResult, TokenizeResult
from service.ports.values import AppendCommand, AppendResult, EmbedResult, ModelInfo


class EncoderPort(Protocol):
    """One served model."""

    def full(self) -> RoundFull | None:
        """Return why whatever needs a forward pass would be refused now, as far as is known here; else None."""
        ...

    async def info(self) -> ModelInfo:
        """Describe the model; raises `Unavailable` while it cannot answer."""
        ...

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:
        """Encode texts without a session.

        A text longer than the window runs through a fresh memory where the model has one and comes back as
        its document vector. Elsewhere it is `input_too_long`, or cut and counted if `truncate`.

        Raises:
            Unprocessable: `input_too_long`.
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:
        """Encode texts as `embed` does, and return the vector of every token beside theirs.

        Raises:
            Unprocessable: `input_too_long`, `answer_too_large`.
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:
        """Say which tokens the model reads where in each text.

        Raises:
            Unprocessable: `answer_too_large`.
            Unavailable: `model_unavailable`.
        """
        ...

    async def inspect(self, command: AttentionCommand) -> AttentionResult:
        """Encode a short text and show how each layer's attention came to its output.

        Raises:
            Unprocessable: `input_too_long`, `answer_too_large`, `model_has_no_memory`, or `validation_error` for a
                layer or a head that there is not.
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read chunks into a session; every answer is durable before it is returned.

        Raises:
            NotFound, Gone, Conflict, PreconditionFailed, Unprocessable, Unavailable, OutOfStorage:
                as the HTTP contract says. An error in the middle of a request carries `next_seq`.
            OutcomeUnknown: in place of `Unavailable` where chunks without `first_seq` or a key were, or may have been,
                committed.
        """
        ...

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Complete a session, if it is not, and encode chunks of it against the memory of its whole document.

        The memory stays as it is, so the same chunks may be looked at again, and others after them.

        Raises:
            Conflict: `sequence_conflict` with `expected_seq` and `next_seq` if a text is not the chunk that was read
                under its number; then the session is not completed by this call. `model_changed`.
            NotFound, Gone, PreconditionFailed, Unprocessable, Unavailable, OutOfStorage: as `append`.
        """
        ...

    async def query(self, command: QueryCommand) -> QueryResult:
        """Encode questions, each with an empty memory, and recall what the session remembers for them.

        A session with an index is searched for the chunks nearest to each.

        Raises:
            Unprocessable: `input_too_long`, `model_has_no_memory`, `session_has_no_index`, `answer_too_large`.
            NotFound, Gone, Conflict, Unavailable: as `append`.
        """
        ...

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks of a document into a state that the caller keeps; a call that fails has changed nothing.

        Raises:
            Conflict: `model_changed`.
            Unprocessable: `model_has_no_memory`; `invalid_state`: the state is none of this model's.
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...

    async def verify(self, state: bytes) -> None:
        """Check that an encoded state is one of this model's: its shape fits, and a text can be read against it.

        Raises:
            Unprocessable: `model_has_no_memory`, `invalid_state`.
            Unavailable: `overloaded`, `model_unavailable`.
        """
        ...

    async def memory(self, command: MemoryCommand) -> MemoryResult:
        """Describe what a session's memory holds; nothing is read into it.

        Raises:
            Unprocessable: `model_has_no_memory`.
            NotFound, Gone, Conflict, Unavailable: as `append`.
        """
        ...

    async def check(self) -> None:
        """Run a real forward pass and a store round trip; raise `Unavailable` if either fails."""
        ...
