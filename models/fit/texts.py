"""Training texts from files of three shapes."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.errors import TextError

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_GLOSS = re.compile(r"^\d{8} .*\| (.+)$")
SENTENCES = (1, 2, 3, 4)
"""A chunk is read whole, and cut into groups of so many sentences in turn."""


def read_texts(sources: Sequence[Path]) -> list[str]:
    """Read every training text under the given files and folders, in a fixed order, each once.

    A `.txt` file holds a text a line. A `.jsonl` file holds records with `chunks` (a document: each chunk whole and in
    groups of sentences), `text` (a query) or `s1` and `s2` (a pair of sentences). A `data.*` file is WordNet's, of
    which the glosses are read. In a folder only files under a `train` folder, `*_train.jsonl` and WordNet's are read,
    so that a folder of sets never gives its evaluation splits.

    Raises:
        TextError: nothing to read in a source, or a line of another shape; names file and line.
    """
    texts: dict[str, None] = {}
    for source in sources:
        files = [source] if source.is_file() else sorted(filter(_is_training, source.rglob("*")))
        before = len(texts)
        for file in files:
            texts.update(dict.fromkeys(text for text in _read(file) if text.strip()))
        if len(texts) == before:
            raise TextError(f"no training texts in {source}")
    return list(texts)


def _is_training(file: Path) -> bool:
    if file.name in {"data.noun", "data.verb", "data.adj", "data.adv"}:
        return True
    of_train = "train" in file.parts or file.stem.endswith("_train")
    return file.suffix == ".jsonl" and of_train and file.is_file()


def _read(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if file.name.startswith("data."):
                yield from _glosses(line)
            elif file.suffix == ".txt":
                yield line.strip()
            else:
                yield from _record(line, f"{file.name}, line {number}")


def _glosses(line: str) -> Iterator[str]:
    """Yield a definition, and each example sentence that follows it in quotes."""
    match = _GLOSS.match(line.strip())
    if match:
        definition, *examples = match[1].split('; "')
        yield definition.strip()
        yield from (example.strip(' ";') for example in examples)


def _record(line: str, where: str) -> Iterator[str]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise TextError(f"{where}: not JSON: {error}") from error
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
        raise TextError(f"{where}: a record needs `chunks`, `text`, `sentences`, or `s1` and `s2`")


def _groups(text: str, size: int) -> Iterator[str]:
    sentences = _SENTENCE_END.split(text)
    for start in range(0, len(sentences), size):
        yield " ".join(sentences[start : start + size])
