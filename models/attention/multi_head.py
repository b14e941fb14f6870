"""Multi-head self-attention, heads combined by concatenation."""

from models.attention.projected import ProjectedAttention


class MultiHeadAttention(ProjectedAttention):
    """Every token attends to every token of its segment, in h subspaces.

    *Equation*: Vaswani et al., arXiv 1706.03762, section 3.2.2: Concat(head_1, ..., head_h) W_O.
    **Deviation:** none; exactly the attention of BERT, biases included.
    """
