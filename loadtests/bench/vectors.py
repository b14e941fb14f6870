"""Vectors in answers, and whether two servers mean the same by a text."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from loadtests.bench.errors import BenchError
from service.client.results import decode_vector

Vectors = NDArray[np.float32]

SAME: Final = 0.9999
"""Least cosine at which two vectors of a text count as equal."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far one server's vectors are those of another.

    Attributes:
        texts: Texts that were compared.
        mean: Mean cosine.
        lowest: Lowest cosine.
    """

    texts: int
    mean: float
    lowest: float

    @property
    def same(self) -> bool:
        """Whether every vector is equal; only then do speeds compare."""
        return self.lowest >= SAME


def agreement(reference: Vectors, found: Vectors) -> Agreement:
    """Compare two servers' vectors of the same texts, (texts, dimensions).

    Raises:
        BenchError: they have different shapes.
    """
    if reference.shape != found.shape:
        raise BenchError(f"vectors of shape {found.shape} where {reference.shape} was expected")
    norms = np.linalg.norm(reference, axis=1) * np.linalg.norm(found, axis=1)
    # A zero or non-finite vector equals nothing.
    cosines = np.einsum("nd,nd->n", reference, found, dtype=np.float64) / np.maximum(norms, 1e-30)
    cosines = np.nan_to_num(cosines, nan=-1.0, posinf=-1.0, neginf=-1.0)
    return Agreement(len(cosines), float(cosines.mean()), float(cosines.min()))


def embeddings_in(body: bytes) -> Vectors:
    """Read the vectors of an answer in OpenAI's shape, floats or base64, in the order of the texts.

    Raises:
        BenchError: the body is something else.
    """
    return _stacked(body, "data", "index")


def chunks_in(body: bytes) -> tuple[list[int], Vectors]:
    """Read the sequence numbers and vectors of an append's answer.

    Raises:
        BenchError: the body is something else.
    """
    vectors = _stacked(body, "chunks", "seq")
    return sorted(int(item["seq"]) for item in orjson.loads(body)["chunks"]), vectors


def _stacked(body: bytes, items: str, order: str) -> Vectors:
    try:
        rows: list[dict[str, Any]] = sorted(
            orjson.loads(body)[items], key=lambda item: int(item[order])
        )
        return np.stack([decode_vector(row["embedding"]) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"an answer without vectors: {body[:200]!r}") from error
