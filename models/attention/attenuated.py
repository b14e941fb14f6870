"""Multi-head attention that is weaker behind a document's first segment."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention.base import Inspection, LayerMemory
from models.attention.projected import ProjectedAttention
from models.attention.softmax import attend
from models.config import AttentionOptions, EncoderConfig
from models.packing import Packing


class AttenuatedAttention(ProjectedAttention):
    """Local attention, scaled by 1 - g per head once something was read; nothing is remembered.

    *Equation*: what is left of Infini-attention's equation 10 (arXiv 2404.07143v2) where the memory says nothing:
    A = (1 - sigmoid(beta)) A_dot. It is the control that a memory has to beat, and worth having under a reader: a
    token keeps more of its own word, which finds rare words better.

    **Deviation:** none; an empty memory leaves the gate out, as it does in `InfiniAttention`.
    """

    has_memory: ClassVar[bool] = True

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        super().__init__(config, options)
        self.beta = nn.Parameter(torch.full((config.heads,), options.gate_logit))

    def forward(
        self,
        x: Float[Tensor, "n d"],
        packing: Packing,
        memories: Sequence[LayerMemory] | None,
    ) -> tuple[Float[Tensor, "n d"], list[LayerMemory] | None]:
        """Attend within each sequence; no memories, nothing read."""
        query, key, value = self.project(x)
        attended = attend(query, key, value, packing, self.score)
        if memories is not None and not all(memory.empty for memory in memories):
            began = torch.tensor([not memory.empty for memory in memories], device=x.device)
            lengths = torch.tensor(packing.lengths, device=x.device)
            gate = began.to(attended.dtype).unsqueeze(-1) * torch.sigmoid(self.beta)  # (b, h)
            # With its size, a device need not be asked how long the result is.
            spread = (1 - gate).repeat_interleave(lengths, 0, output_size=len(x))
            attended = attended * spread.unsqueeze(-1)
        return self.project_back(attended.flatten(1)), None

    def step(
        self,
        x: Float[Tensor, "t d"],
        content: Bool[Tensor, " t"],  # noqa: ARG002 - the contract; nothing is written
        memory: LayerMemory | None,
    ) -> tuple[Float[Tensor, "t d"], LayerMemory | None]:
        """Attend token by token, and scale head by head."""
        query, key, value = self.project(x)
        attended = self.attend_stepwise(query, key, value, "both")
        if memory is not None and not memory.empty:
            heads = zip(torch.sigmoid(self.beta), attended.unbind(1), strict=True)
            attended = torch.stack([(1 - gate) * head for gate, head in heads], dim=1)
        return self.project_back(attended.flatten(1)), None

    def inspect(self, x: Float[Tensor, "t d"], memory: LayerMemory | None) -> Inspection:
        """Keep what every step gave; no part of it came from memory."""
        found = super().inspect(x, memory)
        share = found.outputs.new_zeros(found.outputs.shape[:2])
        if memory is None or memory.empty:
            return replace(found, memory_share=share)
        gate = torch.sigmoid(self.beta).view(-1, 1, 1)
        return replace(found, outputs=(1 - gate) * found.outputs, memory_share=share)
