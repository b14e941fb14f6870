"""Memories of key-value bindings whose read-out is a weighted mean: M and z of Infini-attention."""

import torch
from jaxtyping import Float
from torch import Tensor

from models.memory.features import positive_features
from models.memory.state import Parts


class NormalisedMemory:
    """What the rules with a matrix and a normaliser have in common: their parts, and how they are read.

    *Equation*: Infini-attention (arXiv 2404.07143v2), equation 7: sigma(Q) M / (sigma(Q) z), where `matrix` is M,
    *shape* (h, k, v), and `normaliser` z, *shape* (h, k). **Deviation:** none.

    *Numerics*: float32; sigma > 0 and z > 0 once a token was written, so nothing is added to the divisor.
    """

    def parts(self, heads: int, key_width: int, value_width: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of M and z."""
        return {
            "matrix": (heads, key_width, value_width),
            "normaliser": (heads, key_width),
        }

    def read(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        """Read a memory that is not empty."""
        features = positive_features(query).transpose(0, 1)  # (h, t, k)
        total = features @ parts["matrix"]
        weight = features @ parts["normaliser"].unsqueeze(-1)
        return (total / weight).transpose(0, 1)

    def read_stepwise(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        """Read the equation off the page."""
        rows = []
        for token in positive_features(query):  # (h, k)
            heads = zip(token, parts["matrix"], parts["normaliser"], strict=True)
            rows.append(torch.stack([(sigma @ matrix) / (sigma @ z) for sigma, matrix, z in heads]))
        return torch.stack(rows)
