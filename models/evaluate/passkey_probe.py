"""Documents of novels with one stated pass key each, and the questions for them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.evaluate.errors import DataError


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """A question on a document.

    Attributes:
        text: The question.
        answer: The digits.
        chunks: The document, chunk by chunk.
    """

    text: str
    answer: str
    chunks: tuple[str, ...]


def read_probe(folder: Path) -> list[ProbeQuestion]:
    """Read the questions of family `passkey` from `docs.jsonl` and `queries.jsonl` of a folder.

    Raises:
        DataError: a file cannot be read or is not of that shape, or there are no such questions.
    """
    try:
        documents = {
            record["doc_id"]: tuple(chunk["text"] for chunk in record["chunks"])
            for record in _records(folder / "docs.jsonl")
        }
        found = [
            ProbeQuestion(record["text"], record["answer"], documents[record["doc_id"]])
            for record in _records(folder / "queries.jsonl")
            if record.get("family") == "passkey"
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(folder, f"is no probe: {error!r}") from error
    if not found:
        raise DataError(folder, "there are no questions of family passkey in it")
    return found


def _records(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
