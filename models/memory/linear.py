"""The linear rule: every token adds its binding."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from models.memory.features import positive_features
from models.memory.normalised import NormalisedMemory
from models.memory.state import Parts


class LinearRule(NormalisedMemory):
    """Infini-attention "Linear": every token adds its key-value binding.

    *Equation*: arXiv 2404.07143v2, equation 8: M + sigma(K)^T V, z + sum sigma(K). **Deviation:** none.

    *Numerics*: sums in float32. A float has the same precision at any magnitude, so scaling M and z down together
    would keep exactly the bits there are; what is lost is what a write is too small to change. A segment is summed
    before it is added, so that at 10 million tokens the read-out of varied text in full segments is 1e-5 off.
    """

    additive: ClassVar[bool] = True

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,  # noqa: ARG002 - the rule reads nothing, so an empty memory is no special case
    ) -> Parts:
        """Add the segment's bindings."""
        features = positive_features(key).permute(1, 2, 0)  # (h, k, t)
        return {
            "matrix": parts["matrix"] + features @ value.transpose(0, 1),
            "normaliser": parts["normaliser"] + features.sum(-1),
        }

    def write_stepwise(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,  # noqa: ARG002 - as above
    ) -> Parts:
        """Add one binding after the other."""
        matrix, normaliser = parts["matrix"], parts["normaliser"]
        for sigma, bound in zip(positive_features(key), value, strict=True):  # (h, k), (h, v)
            matrix = matrix + torch.einsum("hk,hv->hkv", sigma, bound)
            normaliser = normaliser + sigma
        return {"matrix": matrix, "normaliser": normaliser}

    def merge(self, one: Parts, other: Parts) -> Parts:
        """Add both sums."""
        return {name: one[name] + other[name] for name in ("matrix", "normaliser")}

    def subtract(self, whole: Parts, part: Parts) -> Parts:
        """Take one sum from the other."""
        return {name: whole[name] - part[name] for name in ("matrix", "normaliser")}
