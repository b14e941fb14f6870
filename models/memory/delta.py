"""The delta rule: a segment adds only what the memory does not say already."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from models.memory.linear import LinearRule
from models.memory.normalised import NormalisedMemory
from models.memory.state import Parts

_BINDINGS = LinearRule()


class DeltaRule(NormalisedMemory):
    """Infini-attention "Linear + Delta": each binding less what its key already retrieves.

    *Equation*: arXiv 2404.07143v2, equation 9: M + sigma(K)^T (V - sigma(K) M / (sigma(K) z)), z as in equation 8;
    the whole segment reads the memory before it. **Deviation:** none; for an empty memory the read-out is 0.

    *Numerics*: float32. z grows with every token while M settles, so that a binding that is repeated is read back
    weaker and weaker; `CorrectedDeltaRule` is the remedy.
    """

    additive: ClassVar[bool] = False

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,
    ) -> Parts:
        """Add the segment's bindings, each less what its key already retrieves."""
        if not empty:
            value = value - self.read(key, parts)
        return _BINDINGS.write(key, value, parts, empty=empty)

    def write_stepwise(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,
    ) -> Parts:
        """Read what each key retrieves from the memory before the segment, then add one binding after the other."""
        if not empty:
            value = value - self.read_stepwise(key, parts)
        return _BINDINGS.write_stepwise(key, value, parts, empty=empty)
