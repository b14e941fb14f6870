"""What stands in for a model that could not be loaded."""

from collections.abc import Sequence
from typing import Final, NoReturn

from service.errors import MODEL_FAILED, Unavailable
from service.ports import (
    AppendCommand,
    AppendResult,
    AttentionCommand,
    AttentionResult,
    EmbedResult,
    EncodeResult,
    MemoryCommand,
    MemoryResult,
    ModelInfo,
    QueryCommand,
    QueryResult,
    ReadCommand,
    ReadResult,
    RevisitCommand,
    RevisitResult,
    TokenizeResult,
)


class FailedNode:
    """An `EncoderPort` that answers every question with why there is no model; the other models are served.

    Args:
        reason: Why it could not be loaded.
    """

    divisible_tokens: Final = 0
    asked_tokens: Final = 0
    refused_tokens: Final = 0
    busy_s: Final = 0.0
    """What no model has to do, and has done."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def full(self) -> None:
        """Return nothing: it refuses for another reason."""

    async def info(self) -> ModelInfo:
        """Refuse."""
        self._refuse()

    async def embed(self, texts: Sequence[str], *, truncate: bool) -> EmbedResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def encode(self, texts: Sequence[str], *, truncate: bool) -> EncodeResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def tokenize(self, texts: Sequence[str]) -> TokenizeResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def inspect(self, command: AttentionCommand) -> AttentionResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def append(self, command: AppendCommand) -> AppendResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def revisit(self, command: RevisitCommand) -> RevisitResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def query(self, command: QueryCommand) -> QueryResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def read(self, command: ReadCommand) -> ReadResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def verify(self, state: bytes) -> None:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def memory(self, command: MemoryCommand) -> MemoryResult:  # noqa: ARG002 - a port
        """Refuse."""
        self._refuse()

    async def check(self) -> None:
        """Refuse."""
        self._refuse()

    def exposition(self) -> bytes:
        """Return no metrics."""
        return b""

    async def stop(self) -> None:
        """Do nothing: there is nothing to close."""

    def _refuse(self) -> NoReturn:
        raise Unavailable(
            MODEL_FAILED,
            f"This model could not be loaded: {self._reason}. Mend that; it is tried again within ten minutes.",
        )
