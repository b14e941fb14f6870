"""What clients did and were told, as values that a checker can judge and a file can keep."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Kind = Literal["append", "repeat", "clash", "read"]
"""`append` sends texts that no other operation sends, however often it tries; `repeat` sends an acknowledged append
again; `clash` sends another text under a number that is taken; `read` looks at the session."""

Outcome = Literal["ok", "refused", "unknown"]
"""`refused` means that the last attempt had a definite answer other than 200, `unknown` that none came in the end."""


@dataclass(frozen=True, slots=True)
class Told:
    """One chunk of an answer.

    Attributes:
        seq: Its number.
        vector: `fingerprint` of its vector.
        replayed: Whether it was said to be a repetition.
    """

    seq: int
    vector: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client wanted, over all attempts.

    Attributes:
        client: Who.
        session: Where.
        kind: What.
        began: When the first attempt began, seconds of one monotonic clock for all clients.
        ended: When the last attempt ended.
        outcome: How it ended.
        texts: The chunks.
        first_seq: Number that the client gave to the first chunk, if it did.
        key: Idempotency key, if there was one.
        told: The answer, chunk by chunk.
        next_seq: As a read or an answer said.
        document: `fingerprint` of the document vector that a read got with `next_seq`.
        error: Code of the last refusal.
        attempts: Times it was sent.
    """

    client: str
    session: str
    kind: Kind
    began: float
    ended: float
    outcome: Outcome
    texts: tuple[str, ...] = ()
    first_seq: int | None = None
    key: str | None = None
    told: tuple[Told, ...] = ()
    next_seq: int | None = None
    document: str | None = None
    error: str | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Link:
    """One chunk of a session as the store has it in the end; its place in the list is its number.

    Attributes:
        digest: `text_digest` of its text.
        vector: `fingerprint` of its vector.
    """

    digest: str
    vector: str


def fingerprint(vector: ArrayLike) -> str:
    """Return a name of a vector that equal vectors of float32 share, and no others."""
    return hashlib.sha256(np.ascontiguousarray(vector, "<f4").tobytes()).hexdigest()[:32]


def text_digest(text: str) -> str:
    """Return the digest under which stores keep a chunk, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def write(file: IO[str], operations: Iterable[Operation]) -> None:
    """Append operations to a file, one line of JSON each."""
    for operation in operations:
        file.write(json.dumps(asdict(operation), separators=(",", ":")) + "\n")


def read(path: Path) -> Iterator[Operation]:
    """Return the operations of a file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield _operation(json.loads(line))


def _operation(fields: dict[str, Any]) -> Operation:
    told = tuple(Told(**each) for each in fields.pop("told"))
    texts = tuple(fields.pop("texts"))
    return Operation(**fields, told=told, texts=texts)
