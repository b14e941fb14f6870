"""Infini-attention whose gates see what they decide on."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.attention.base import LayerMemory
from models.attention.infini import InfiniAttention
from models.config import AttentionOptions, EncoderConfig

_KEPT_AT_FIRST = 4.0
"""Logit of what a head keeps of its memory from a segment to the next before training: 0.98."""


class GatedInfiniAttention(InfiniAttention):
    """Infini-attention with a gate per token and head, and a memory that can let go of what is over.

    *Equation*: arXiv 2404.07143v2, equations 7, 8 and 11. **Deviations:** equation 10 with beta + W x_t for beta.
    Before a segment is written, the memory is multiplied by a_h = sigmoid(kappa_h + w_h mean(x)), the scalar gate of
    gated linear attention (Yang et al., arXiv 2312.06635), once a segment. A read-out is a ratio and does not change by
    that: what is forgotten shows in the segments after. Those of `InfiniAttention` hold too.

    Why: equations 8 and 9 never forget, and after 100,000 tokens a new topic is a small part of the sum.
    """

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        super().__init__(config, options)
        self.gate = nn.Linear(config.width, config.heads, bias=False)
        self.keep = nn.Linear(config.width, config.heads)
        for weight in (self.gate.weight, self.keep.weight):
            nn.init.zeros_(weight)
        nn.init.constant_(self.keep.bias, _KEPT_AT_FIRST)

    def gates(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n h"]:
        """Return how much of each head's output is the memory's, token by token."""
        return torch.sigmoid(self.beta + self.gate(x))

    def forget(self, x: Float[Tensor, "t d"], memory: LayerMemory) -> LayerMemory:
        """Return what is left of a memory when a segment's content is about to be written."""
        if memory.empty or not len(x):
            return memory
        share = torch.sigmoid(self.keep(x).mean(0)).float()  # the logit of the mean token
        parts = {
            name: share.view(-1, *[1] * (part.ndim - 1)) * part
            for name, part in memory.parts.items()
        }
        return LayerMemory(parts, empty=False)
