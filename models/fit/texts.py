"""Training texts from the files of sets, WordNet, and plain text."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.errors import TextError

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_GLOSS = re.compile(r"^\d{8} .*\| (.+)$")
_WORDNET = frozenset({"data.noun", "data.verb", "data.adj", "data.adv"})
_SHAPE = "not a JSON record with `chunks`, `text`, `sentences`, or `s1` and `s2`"
SENTENCES = (1, 2, 3, 4)
"""A chunk is read whole, and cut into groups of so many sentences in turn."""


def read_texts(sources: Sequence[Path]) -> list[str]:
    """Read every training text under the given files and folders, in a fixed order, each once.

    A `.txt` file holds a text a line. A `.jsonl` file holds records with `chunks` (a document: each chunk whole and in
    groups of sentences), `text` (a query), `sentences`, or `s1` and `s2` (a pair of sentences); records with `summary`
    alone are passed over. A `data.*` file is WordNet's, of which the glosses are read. In a folder only `.jsonl` files
    of a `train` folder in it, `*_train.jsonl` files and WordNet's are read, and nothing of a `dev` or `test` folder,
    so that a folder of sets never gives its evaluation splits.

    Raises:
        TextError: nothing to read in a source, or a line of another shape; names file and line.
    """
    texts: dict[str, None] = {}
    for source in sources:
        files = [source] if source.is_file() else sorted(_training_files(source))
        found = [text for file in files for text in _read(file) if text.strip()]
        if not found:
            raise TextError(f"no training texts in {source}")
        texts.update(dict.fromkeys(found))
    return list(texts)


def _training_files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        of_train = "train" in parts[:-1] or file.stem.endswith("_train")
        evaluated = {"dev", "test"} & set(parts[:-1])
        if (
            file.is_file() and file.suffix == ".jsonl" and of_train and not evaluated
        ) or file.name in _WORDNET:
            yield file


def _read(file: Path) -> Iterator[str]:
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{file.name} is not UTF-8 at byte {error.start}") from error
    for number, line in enumerate(content.removesuffix("\n").split("\n"), 1):
        try:
            yield from _parse(file, line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TextError(f"{file.name}, line {number}: {_SHAPE}: {error!r}") from error


def _parse(file: Path, line: str) -> list[str]:
    if file.name.startswith("data."):
        return list(_glosses(line))
    if file.suffix == ".txt":
        return [line.strip()]
    return [text + "" for text in _record(json.loads(line))]  # a TypeError if it is none


def _glosses(line: str) -> Iterator[str]:
    """Yield a definition, and each example sentence that follows it in quotes."""
    match = _GLOSS.match(line.strip())
    if match:
        definition, *examples = match[1].split('; "')
        yield definition.strip()
        yield from (example.strip(' ";') for example in examples)


def _record(record: dict[str, Any]) -> Iterator[str]:
    if "chunks" in record:
        for place, chunk in enumerate(record["chunks"]):
            yield chunk["text"]
            yield from _groups(chunk["text"], SENTENCES[place % len(SENTENCES)])
    elif "text" in record:
        yield record["text"]
    elif "s1" in record and "s2" in record:
        yield from (record["s1"], record["s2"])
    elif "sentences" in record:
        yield from record["sentences"]
    elif not {"summary", "doc_id"} & set(record):
        raise KeyError(*record)


def _groups(text: str, size: int) -> Iterator[str]:
    sentences = _SENTENCE_END.split(text)
    for start in range(0, len(sentences), size):
        yield " ".join(sentences[start : start + size])
