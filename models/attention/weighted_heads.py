"""Multi-head self-attention, heads combined by a weighted sum."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.attention.projected import ProjectedAttention
from models.config import AttentionOptions, EncoderConfig


class WeightedMultiHeadAttention(ProjectedAttention):
    """The heads' outputs, each through its own block of W_O, summed with learned weights.

    *Equation*: sum_h kappa_h head_h W_O^h with sum_h kappa_h = h, after the branch weights of the Weighted Transformer
    (Ahmed et al., arXiv 1711.02132, kappa). **Deviations:** kappa is a softmax, so it stays positive without
    a projection step; it sums to h instead of 1, so that equal weights are exactly the concatenation; branches are
    weighted before the feed-forward part, which they share, instead of after their own.
    """

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        super().__init__(config, options)
        self.head_logits = nn.Parameter(torch.zeros(config.heads))

    def weights(self) -> Float[Tensor, " h"]:
        """Return kappa; all ones before training."""
        # Relative to the mean of the exponentials, not h times a softmax: exact ones at equal logits.
        exponentials = torch.exp(self.head_logits - self.head_logits.max())
        return exponentials / exponentials.mean()

    def fuse(self, passes: Sequence[Float[Tensor, "n h v"]]) -> Float[Tensor, "n h v"]:
        """Weigh each head; W_O then sums them."""
        [heads] = passes
        return heads * self.weights().unsqueeze(-1)
