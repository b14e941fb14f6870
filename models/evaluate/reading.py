"""Evaluation sets from their files: JSON Lines, checked line by line."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from models.evaluate.data import Query, RetrievalSet, SentencePairs
from models.evaluate.errors import DataError

_Default = TypeVar("_Default")
_FEWEST_PAIRS: Final = 2  # one pair has no order


def read_retrieval_set(name: str, folder: Path, limit: int | None = None) -> RetrievalSet:
    """Read `docs.jsonl` and `queries.jsonl` of a folder.

    Args:
        name: How the report is to call it.
        folder: Where both files lie.
        limit: Keep so many documents, the first ones, and their queries; None keeps all.

    Raises:
        DataError: a file is missing, empty or not of its shape; every line is checked, also beyond the limit.
    """
    docs, asked = folder / "docs.jsonl", folder / "queries.jsonl"
    documents: list[tuple[str, ...]] = []
    titles: list[str] = []
    places: dict[str, tuple[int, dict[str, int]]] = {}  # document -> its index, chunk -> its index
    total = 0
    for line in _lines(docs):
        doc_id, chunks = line.text("doc_id"), _chunks(line)
        if doc_id in places:
            raise line.error(f"document {doc_id!r} was there before")
        places[doc_id] = (len(documents), {key: total + i for i, key in enumerate(chunks)})
        documents.append(tuple(chunks.values()))
        titles.append(line.text_or("title", ""))
        total += len(chunks)
    if not documents:
        raise DataError(docs, "there are no documents in it")
    kept = len(documents) if limit is None else min(limit, len(documents))
    queries = [query for line in _lines(asked) if (query := _query(line, places)).document < kept]
    if not queries:
        raise DataError(asked, f"there are no queries for the {kept} documents")
    sources = {file.name: _sha256(file) for file in (docs, asked)}
    return RetrievalSet(
        name,
        tuple(documents[:kept]),
        tuple(queries),
        sources,
        doc_ids=tuple(places)[:kept],
        titles=tuple(titles[:kept]),
    )


def read_sentence_pairs(name: str, file: Path) -> SentencePairs:
    """Read lines of `{"s1": …, "s2": …, "score": …}`.

    Raises:
        DataError: the file is missing, has fewer than two pairs, or is not of that shape.
    """
    rows = [(line.text("s1"), line.text("s2"), line.number_of("score")) for line in _lines(file)]
    if len(rows) < _FEWEST_PAIRS:
        raise DataError(file, f"there are only {len(rows)} sentence pairs in it")
    first, second, scores = zip(*rows, strict=True)
    return SentencePairs(
        name, first, second, np.array(scores, np.float64), {file.name: _sha256(file)}
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """One object of a file, and where it stands."""

    file: Path
    number: int
    content: dict[str, Any]

    def error(self, problem: str) -> DataError:
        return DataError(self.file, problem, self.number)

    def text(self, key: str) -> str:
        value = self.content.get(key)
        if not isinstance(value, str):
            raise self.error(f"{key!r} must be a string, {_is(value)}")
        return value

    def text_or(self, key: str, default: _Default) -> str | _Default:
        return self.text(key) if self.content.get(key) is not None else default

    def number_of(self, key: str) -> float:
        value = self.content.get(key)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.error(f"{key!r} must be a number, {_is(value)}")
        return float(value)

    def items(self, key: str) -> list[Any]:
        value = self.content.get(key)
        if not isinstance(value, list) or not value:
            raise self.error(f"{key!r} must be a list with something in it, {_is(value)}")
        return value


def _chunks(line: _Line) -> dict[str, str]:
    """Return the texts of a document by their chunk ids."""
    chunks: dict[str, str] = {}
    for item in line.items("chunks"):
        if not isinstance(item, dict):
            raise line.error(f"each of 'chunks' must be an object, {_is(item)}")
        chunk = _Line(line.file, line.number, item)
        key = chunk.text("chunk_id")
        if key in chunks:
            raise line.error(f"chunk {key!r} was there before")
        chunks[key] = chunk.text("text")
    return chunks


def _query(line: _Line, places: dict[str, tuple[int, dict[str, int]]]) -> Query:
    text, doc_id = line.text("text"), line.text("doc_id")
    if doc_id not in places:
        raise line.error(f"there is no document {doc_id!r}")
    document, chunks = places[doc_id]
    gold: set[int] = set()
    for key in line.items("gold_chunk_ids"):
        if not isinstance(key, str) or key not in chunks:
            raise line.error(f"document {doc_id!r} has no chunk {key!r}")
        gold.add(chunks[key])
    distance = None if line.content.get("distance") is None else int(line.number_of("distance"))
    family = line.text_or("family", None)
    return Query(text, document, tuple(sorted(gold)), family, distance)


def _lines(file: Path) -> Iterator[_Line]:
    """Yield the objects of a file; blank lines mean nothing."""
    try:
        with file.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if raw.strip():
                    yield _Line(file, number, _object(file, number, raw))
    except OSError as error:
        raise DataError(file, f"cannot be read: {error.strerror or error}") from error


def _object(file: Path, number: int, raw: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(raw)  # refuses what is not Unicode, unpaired surrogates included
    except orjson.JSONDecodeError as error:
        raise DataError(file, f"not JSON: {error}", number) from error
    if not isinstance(content, dict):
        raise DataError(file, f"each line must be an object, {_is(content)}", number)
    return content


def _is(value: Any) -> str:
    """Say what stands there instead, in a few words."""
    if value is None:
        return "and is missing or null"
    shown = orjson.dumps(value).decode()
    return f"not {shown if len(shown) <= 40 else shown[:39] + '…'}"  # noqa: PLR2004 - a short line


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
