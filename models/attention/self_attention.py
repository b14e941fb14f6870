"""Single-head self-attention."""

from models.attention.projected import ProjectedAttention
from models.config import EncoderConfig


class SelfAttention(ProjectedAttention):
    """Every token attends to every token of its segment, in one space over the whole width.

    *Equation*: Vaswani et al., arXiv 1706.03762, equation 1, with k = v = d; W_O follows as in section 3.2.2.
    **Deviation:** none. One weight per pair of tokens has to do what h weights do in the multi-head variant.
    """

    @staticmethod
    def count_heads(config: EncoderConfig) -> int:  # noqa: ARG004 - one, whatever the base has
        """Return one."""
        return 1
