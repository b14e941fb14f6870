"""What a run of `longstream embed` is asked to do, and how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TypeAlias

from service.cli.embedding.journal import Row


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Attributes:
        source: File to read, or an open pipe.
        output: File to write; its suffix chooses the format.
        model: Model to read with.
        session: Session to read into; None derives one from the rest of the job.
        chunk_chars: Longest chunk, in code points.
        batch: Chunks sent in one request.
        keep_session: False deletes the session when the output is written.
    """

    source: Path | BufferedIOBase
    output: Path
    model: str
    session: str | None = None
    chunk_chars: int = 1000
    batch: int = 8
    keep_session: bool = True

    @property
    def part(self) -> Path:
        """Where the journal lies."""
        return self.output.with_name(f"{self.output.name}.part")

    @property
    def name(self) -> str:
        """What messages call the source."""
        return str(self.source) if isinstance(self.source, Path) else "standard input"


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is.

    Attributes:
        chunks: Chunks of the text that are in the journal.
        source_bytes: UTF-8 bytes of them.
        tokens: Content tokens of them.
        resumed: True while these are rows of an earlier run.
    """

    chunks: int = 0
    source_bytes: int = 0
    tokens: int = 0
    resumed: bool = False

    def plus(self, rows: list[Row], *, resumed: bool) -> "Status":
        """Return the status some rows later."""
        return Status(
            self.chunks + len(rows),
            self.source_bytes + sum(len(row.text.encode()) for row in rows),
            self.tokens + sum(row.tokens for row in rows),
            resumed,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What a finished run has made."""

    session: str
    chunks: int
    tokens: int


Report: TypeAlias = Callable[[Status], None]
