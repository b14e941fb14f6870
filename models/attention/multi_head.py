"""Multi-head self-attention, heads combined by concatenation."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention.base import LayerMemory
from models.attention.softmax import attend, attend_one
from models.config import AttentionOptions, EncoderConfig
from models.packing import Packing


class MultiHeadAttention(nn.Module):
    """Every token attends to every token of its segment, in h subspaces.

    *Equation*: Vaswani et al., arXiv 1706.03762, section 3.2.2: Concat(head_1, ..., head_h) W_O.
    **Deviation:** none; exactly the attention of BERT, biases included.
    """

    has_memory: ClassVar[bool] = False

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:  # noqa: ARG002
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "n d"],
        packing: Packing,
        memories: Sequence[LayerMemory] | None,  # noqa: ARG002 - the contract; this variant has none
    ) -> tuple[Float[Tensor, "n d"], list[LayerMemory] | None]:
        """Attend within each sequence of the packed batch."""
        query, key, value = self.project(x)
        return self.output(attend(query, key, value, packing).flatten(1)), None

    def step(
        self,
        x: Float[Tensor, "t d"],
        content: Bool[Tensor, " t"],  # noqa: ARG002 - the contract; CLS and SEP attend as others do
        memory: LayerMemory | None,  # noqa: ARG002 - the contract; this variant has none
    ) -> tuple[Float[Tensor, "t d"], LayerMemory | None]:
        """Attend token by token, head by head."""
        query, key, value = self.project(x)
        rows = [
            torch.cat([attend_one(token[h], key[:, h], value[:, h]) for h in range(self.heads)])
            for token in query
        ]
        return self.output(torch.stack(rows)), None

    def project(
        self, x: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n h k"], Float[Tensor, "n h k"], Float[Tensor, "n h v"]]:
        """Return queries, keys and values, split into heads."""

        def split(projection: nn.Linear) -> Float[Tensor, "n h k"]:
            return projection(x).unflatten(-1, (self.heads, -1))  # type: ignore[no-any-return] # Module.__call__

        return split(self.query), split(self.key), split(self.value)
