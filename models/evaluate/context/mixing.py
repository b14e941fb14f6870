"""Context without training: another vector of the document added to a chunk's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate.context.reading import Vectors

WEIGHTS: Final = (0.1, 0.15, 0.25, 0.4, 0.5, 0.7, 1.0)
"""How much of a context is added; both vectors are at unit length."""
DECAYS: Final = (0.5, 0.8, 0.95)

Context = Callable[[Vectors], NDArray[np.float32]]
"""From the vectors of a document's chunks, in reading order, to what each of them stands in; same shape."""


@dataclass(frozen=True)
class Candidate:
    """Vectors that a row may have.

    Attributes:
        vectors: Of all chunks.
        settings: What they were made with.
    """

    vectors: Vectors
    settings: Mapping[str, float] = field(default_factory=dict)


def opening(vectors: Vectors) -> NDArray[np.float32]:
    """Return the document's first chunk."""
    return np.repeat(vectors[:1], len(vectors), axis=0)


def previous(vectors: Vectors) -> NDArray[np.float32]:
    """Return the chunk before; zeros for the first."""
    return np.concatenate([np.zeros_like(vectors[:1]), vectors[:-1]])


def running_mean(vectors: Vectors) -> NDArray[np.float32]:
    """Return the direction of the mean of all chunks before; zeros for the first."""
    return previous(_unit(np.cumsum(vectors, axis=0, dtype=np.float32)))


def moving_average(vectors: Vectors, decay: float) -> NDArray[np.float32]:
    """Return the direction of the exponential moving average of all chunks before; zeros for the first."""
    averages = np.zeros_like(vectors)
    for i in range(1, len(vectors)):
        averages[i] = decay * averages[i - 1] + (1 - decay) * vectors[i - 1]
    return _unit(averages)


def document_mean(vectors: Vectors) -> NDArray[np.float32]:
    """Return the direction of the mean of all chunks, those to come included."""
    return np.repeat(_unit(vectors.mean(0, keepdims=True)), len(vectors), axis=0)


def _averages() -> list[tuple[Context, dict[str, float]]]:
    return [(partial(moving_average, decay=decay), {"decay": decay}) for decay in DECAYS]


CONTEXTS: Final[Mapping[str, Sequence[tuple[Context, Mapping[str, float]]]]] = {
    "+ first chunk": [(opening, {})],
    "+ running mean": [(running_mean, {})],
    "+ moving average": _averages(),
    "+ previous chunk": [(previous, {})],
    "+ document mean": [(document_mean, {})],
}
"""By row, the contexts it may have and their settings."""


def mixtures(vectors: Vectors, starts: Sequence[int], row: str) -> Iterator[Candidate]:
    """Yield e + a * context for every context of a row and every a.

    Args:
        vectors: Of the chunks alone.
        starts: Row of each document's first chunk, and the number of chunks.
        row: Key of `CONTEXTS`.
    """
    for context, settings in CONTEXTS[row]:
        around = np.concatenate([context(vectors[start:end]) for start, end in pairwise(starts)])
        for weight in WEIGHTS:
            yield Candidate(_unit(vectors + weight * around), {"a": weight, **settings})


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit
