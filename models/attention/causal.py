"""Causal self-attention: one direction only."""

from typing import ClassVar

from models.attention.projected import ProjectedAttention
from models.attention.softmax import Direction


class CausalAttention(ProjectedAttention):
    """Every token attends to itself and the tokens before it: the baseline that `bidirectional` is compared with.

    *Equation*: Vaswani et al., arXiv 1706.03762, section 3.2.3: later keys are masked with -inf.
    **Deviation:** none.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("forward",)
