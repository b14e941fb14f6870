"""Random choices that depend on a run's seed and on what is drawn for, and on nothing else."""

import zlib

import numpy as np


def generator(data: str, purpose: str, seed: int) -> np.random.Generator:
    """Return a generator of its own for a set and a purpose."""
    return np.random.default_rng([seed, zlib.crc32(f"{data}/{purpose}".encode())])
