"""Bidirectional attention: a forward and a backward pass, fused by a learned gate."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.attention.projected import ProjectedAttention
from models.attention.softmax import Direction
from models.config import AttentionOptions, EncoderConfig


class BidirectionalAttention(ProjectedAttention):
    """What came before and what comes after, each normalised on its own, mixed feature by feature.

    *Equation*: the fusion gate of DiSAN (Shen et al., arXiv 1709.04696, directional self-attention), per head, on the
    forward output f and the backward output b: F = sigmoid(W_f f + W_b b + c); F * f + (1 - F) * b.
    **Deviations:** DiSAN gates each direction against the token's own input and concatenates the two; here the gate is
    between the directions and the residual connection keeps the input. Both masks let a token see itself. Projections
    are shared by the directions. The gate begins at one half.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        super().__init__(config, options)
        width = config.head_width
        self.gate_weight = nn.Parameter(torch.zeros(config.heads, 2 * width, width))
        self.gate_bias = nn.Parameter(torch.zeros(config.heads, width))

    def fuse(self, passes: Sequence[Float[Tensor, "n h v"]]) -> Float[Tensor, "n h v"]:
        """Mix the two directions, a gate for every feature of every head."""
        forward, backward = passes
        both = torch.cat([forward, backward], -1)
        gate = torch.sigmoid(torch.einsum("nhi,hiv->nhv", both, self.gate_weight) + self.gate_bias)
        return gate * forward + (1 - gate) * backward
