"""Memory rules: how one sequence's memory of one layer is read and written.

A rule sees only content tokens (no CLS, no SEP) and never a memory it may not read: whether a memory is empty is
the caller's branch, see `Memory.tokens_seen`.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from models.memory.features import positive_features


@runtime_checkable
class MemoryRule(Protocol):
    """Write of one segment into one sequence's memory of one layer."""

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        matrix: Float[Tensor, "h k v"],
        normaliser: Float[Tensor, "h k"],
        *,
        empty: bool,
    ) -> tuple[Float[Tensor, "h k v"], Float[Tensor, "h k"]]:
        """Return the memory after the segment, in new tensors.

        Args:
            key: Keys of the segment's content tokens, float32.
            value: Values of the segment's content tokens, float32.
            matrix: M before the segment.
            normaliser: z before the segment.
            empty: True if nothing was written before; then nothing may be read.
        """
        ...


def read(
    query: Float[Tensor, "t h k"],
    matrix: Float[Tensor, "h k v"],
    normaliser: Float[Tensor, "h k"],
) -> Float[Tensor, "t h v"]:
    """Read a memory that is not empty.

    *Equation*: Infini-attention (arXiv 2404.07143v2), equation 7: sigma(Q) M / (sigma(Q) z). **Deviation:** none.

    *Numerics*: float32; sigma > 0 and z > 0 once a token was written, so nothing is added to the divisor.
    """
    features = positive_features(query).transpose(0, 1)  # (h, t, k)
    total = features @ matrix
    weight = features @ normaliser.unsqueeze(-1)
    return (total / weight).transpose(0, 1)


class LinearRule:
    """Infini-attention "Linear": every token adds its key-value binding.

    *Equation*: arXiv 2404.07143v2, equation 8: M + sigma(K)^T V, z + sum sigma(K). **Deviation:** none.
    """

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        matrix: Float[Tensor, "h k v"],
        normaliser: Float[Tensor, "h k"],
        *,
        empty: bool,  # noqa: ARG002 - the rule reads nothing, so an empty memory is no special case
    ) -> tuple[Float[Tensor, "h k v"], Float[Tensor, "h k"]]:
        """Add the segment's bindings."""
        features = positive_features(key).permute(1, 2, 0)  # (h, k, t)
        return matrix + features @ value.transpose(0, 1), normaliser + features.sum(-1)


class DeltaRule:
    """Infini-attention "Linear + Delta": add only what the memory does not say already.

    *Equation*: arXiv 2404.07143v2, equation 9: M + sigma(K)^T (V - sigma(K) M / (sigma(K) z)), z as in equation 8;
    the whole segment reads the memory before it. **Deviation:** none; for an empty memory the read-out is 0.
    """

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        matrix: Float[Tensor, "h k v"],
        normaliser: Float[Tensor, "h k"],
        *,
        empty: bool,
    ) -> tuple[Float[Tensor, "h k v"], Float[Tensor, "h k"]]:
        """Add the segment's bindings, each less what its key already retrieves."""
        if not empty:
            value = value - read(key, matrix, normaliser)
        return LinearRule().write(key, value, matrix, normaliser, empty=empty)
