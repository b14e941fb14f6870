"""The journal of a run: what the service has answered so far, one JSON line per chunk.

It lies beside the output as `OUTPUT.part` until the output is written from it. A run that was cut off, at
whatever byte, finds there how far it came.
"""

import base64
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from service.cli.embedding.errors import JournalError

_FORMAT: Final = "longstream embed journal 1"
_HEADER_START: Final = orjson.dumps({"format": _FORMAT}).removesuffix(b"}")


@dataclass(frozen=True, slots=True)
class Header:
    """What a run was begun with.

    Attributes:
        session: Session that reads the text.
        model: Model of the session.
        chunk_chars: Longest chunk, in code points.
        source_sha256: Digest of the file; None for a pipe.
        dimensions: Width of the vectors.
    """

    session: str
    model: str
    chunk_chars: int
    source_sha256: str | None
    dimensions: int


@dataclass(frozen=True, slots=True)
class Row:
    """One chunk of the output.

    Attributes:
        seq: Position in the text, from 0.
        text: The chunk.
        embedding: float32, (dimensions,).
        tokens: Content tokens of the chunk.
        token_start: Content tokens before it.
        token_end: `token_start + tokens`.
    """

    seq: int
    text: str
    embedding: NDArray[np.float32]
    tokens: int
    token_start: int
    token_end: int


class Journal:
    """An open journal, held by one process at a time.

    Leaving it without rows removes the file: there would be nothing to go on from.

    Args:
        path: Where it lies; created if missing. A last line that was torn off is dropped.

    Raises:
        JournalError: another process holds it, or it is damaged.
        OSError: the file system refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self.rows = 0
        self._removed = False
        self._file: BinaryIO = path.open("a+b")
        try:
            self._lock()
            self._recover()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        # While the lock is held: the next process must not lose the file it has just begun.
        if not (self.rows or self._removed):
            self.remove()
        self._file.close()

    def begin(self, header: Header) -> None:
        """Empty the journal and write down what the run is about to do."""
        self._file.truncate(0)
        self._write([{"format": _FORMAT, **asdict(header)}])
        self.header = header
        self.rows = 0

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows, in order; they outlive this process from then on."""
        lines = [_packed(row) for row in rows]
        self._write(lines)
        self.rows += len(lines)

    def read(self) -> Iterator[Row]:
        """Yield the rows that are there now, from the first, in constant memory."""
        with self.path.open("rb") as stream:
            stream.readline()
            for _ in range(self.rows):
                yield _unpacked(orjson.loads(stream.readline()))

    def remove(self) -> None:
        """Delete the file; the journal is of no use afterwards."""
        self._removed = True
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self._in_use() from error
        # Its last holder may have removed the file between our opening and our locking it.
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise self._in_use()

    def _recover(self) -> None:
        """Read header and rows, and cut off what a crash left unfinished."""
        self._file.seek(0)
        good = 0
        while line := self._file.readline():
            try:
                self._take(line)
            except (ValueError, TypeError, KeyError) as error:
                if self._file.read(1) or not self._is_torn(line):
                    raise self._damaged(good) from error
                # Never acknowledged as written: the service is asked for it again.
                self._file.truncate(good)
                return
            good += len(line)

    def _is_torn(self, line: bytes) -> bool:
        """Tell whether an unreadable last line is ours; without a header the file may be anybody's."""
        if self.header is not None:
            return True
        begun = line.startswith(_HEADER_START) or _HEADER_START.startswith(line)
        return begun and not line.endswith(b"\n")

    def _take(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            raise ValueError("torn")
        value = orjson.loads(line)
        if self.header is not None:
            if _unpacked(value).seq != self.rows:
                raise ValueError("out of order")
            self.rows += 1
        elif value.pop("format") == _FORMAT:
            self.header = Header(**value)
        else:
            raise ValueError("another format")

    def _in_use(self) -> JournalError:
        return JournalError(f"{self.path}: another process is writing this output")

    def _damaged(self, offset: int) -> JournalError:
        return JournalError(
            f"{self.path} is damaged at byte {offset}, or no journal of longstream embed: "
            "choose another --output, or delete it to begin again"
        )

    def _write(self, values: Iterable[dict[str, Any]]) -> None:
        self._file.write(b"".join(orjson.dumps(value) + b"\n" for value in values))
        self._file.flush()


def _packed(row: Row) -> dict[str, Any]:
    vector = base64.b64encode(row.embedding.astype("<f4", copy=False).tobytes()).decode("ascii")
    return {
        "seq": row.seq,
        "text": row.text,
        "embedding": vector,
        "tokens": row.tokens,
        "token_start": row.token_start,
        "token_end": row.token_end,
    }


def _unpacked(value: dict[str, Any]) -> Row:
    vector = np.frombuffer(base64.b64decode(value.pop("embedding")), dtype="<f4")
    return Row(embedding=vector.astype(np.float32), **value)
