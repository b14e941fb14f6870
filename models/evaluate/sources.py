"""Where evaluation sets lie: by name in a folder of sets, or by path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.evaluate.data import RetrievalSet, SentencePairs
from models.evaluate.errors import EvaluationError
from models.evaluate.reading import read_retrieval_set, read_sentence_pairs

STS: Final = "stsb"


def find_sets(
    asked: Sequence[str], folder: Path | None, split: str, limit: int | None = None
) -> tuple[RetrievalSet, ...]:
    """Read retrieval sets.

    Args:
        asked: A set's name, for `folder/NAME/split`; or, with a slash in it, the path of a folder that holds
            `docs.jsonl` and `queries.jsonl`.
        folder: Of the sets; may be None if all are paths.
        split: Which part of a named set.
        limit: Documents to keep of each set, the first ones; None keeps all.

    Raises:
        EvaluationError: a set is asked for by name, and there is no folder.
        DataError: a file is missing or not of its shape.
    """
    return tuple(read_retrieval_set(set_, _place(set_, folder, split), limit) for set_ in asked)


def find_pairs(file: Path | None, folder: Path | None, split: str) -> SentencePairs | None:
    """Read sentence pairs from a file, or from `folder/stsb/en_{split}.jsonl`; None if neither is given.

    Raises:
        DataError: the file is missing or not of its shape.
    """
    if file is not None:
        return read_sentence_pairs(str(file), file)
    if folder is not None:
        return read_sentence_pairs(STS, folder / STS / f"en_{split}.jsonl")
    return None


def _place(asked: str, folder: Path | None, split: str) -> Path:
    if "/" in asked:
        return Path(asked)
    if folder is None:
        raise EvaluationError(
            f"set {asked!r} is a name, and there is no folder of sets to find it in: --data"
        )
    return folder / asked / split
