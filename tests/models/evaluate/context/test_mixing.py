import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluate.context.mixing import (
    CONTEXTS,
    DECAYS,
    WEIGHTS,
    document_mean,
    mixtures,
    moving_average,
    opening,
    previous,
    running_mean,
)

X, Y, Z = np.eye(3, dtype=np.float32)
DOCUMENT = np.stack([X, Y, Z])
NOTHING = np.zeros(3, np.float32)


def unit(*vector: float) -> NDArray[np.float32]:
    wide = np.array(vector, np.float32)
    return wide / np.float32(np.linalg.norm(wide))


def close(found: NDArray[np.float32], *expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-6)


def test_contexts():
    close(opening(DOCUMENT), X, X, X)
    close(previous(DOCUMENT), NOTHING, X, Y)
    close(running_mean(DOCUMENT), NOTHING, X, unit(1, 1, 0))
    close(document_mean(DOCUMENT), *[unit(1, 1, 1)] * 3)
    # after Y: 0.8 * 0.2 X + 0.2 Y
    close(moving_average(DOCUMENT, 0.8), NOTHING, X, unit(0.16, 0.2, 0))


@pytest.mark.parametrize("row", sorted(CONTEXTS))
def test_mixtures_are_of_one_document_each_and_at_unit_length(row: str):
    vectors = np.concatenate([DOCUMENT, DOCUMENT[::-1]])
    found = list(mixtures(vectors, [0, 3, 6], row))
    assert len(found) == len(WEIGHTS) * (len(DECAYS) if "average" in row else 1)
    assert [candidate.settings["a"] for candidate in found[: len(WEIGHTS)]] == list(WEIGHTS)
    for candidate in found:
        np.testing.assert_allclose(np.linalg.norm(candidate.vectors, axis=1), 1, atol=1e-6)
        for half in (slice(0, 3), slice(3, 6)):
            [alone] = [
                other.vectors
                for other in mixtures(vectors[half], [0, 3], row)
                if other.settings == candidate.settings
            ]
            np.testing.assert_allclose(candidate.vectors[half], alone, atol=1e-6)


def test_the_weight_is_of_the_context():
    [mixed] = [c for c in mixtures(DOCUMENT, [0, 3], "+ previous chunk") if c.settings["a"] == 0.5]
    close(mixed.vectors, X, unit(0.5, 1, 0), unit(0, 0.5, 1))
