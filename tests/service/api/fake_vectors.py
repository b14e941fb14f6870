"""Vectors of the encoder without a model."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def fake_vector(text: str, dimensions: int) -> NDArray[np.float32]:
    """Return a unit vector, float32, (dimensions,), that is a function of the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
