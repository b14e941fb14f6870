"""A split cut in two by document: one half to choose on, the other to report."""

import hashlib
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluate.data import RetrievalSet

Half = Literal["selection", "report", "all"]

_SALT: Final = "dev halves"  # never that of a run: what was chosen on must stay apart in every run


def for_selection(doc_id: str) -> bool:
    """Tell which half a document is in; it depends on its name alone."""
    return bool(hashlib.sha256(f"{_SALT}:{doc_id}".encode()).digest()[0] & 1)


def queries_of(data: RetrievalSet, half: Half) -> NDArray[np.bool_]:
    """Tell which queries are about documents of a half; *shape* (queries,).

    Both halves are ranked in the corpus of all documents, so that it is as hard to find something in as it can be.
    The queries of one half say nothing of the other.
    """
    if half == "all":
        return np.ones(len(data.queries), np.bool_)
    chosen = np.array([for_selection(doc_id) for doc_id in data.doc_ids], np.bool_)
    return (chosen if half == "selection" else ~chosen)[data.query_documents]
