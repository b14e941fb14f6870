"""Infini-attention: softmax attention inside a segment, a compressive memory of all segments before it."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention.base import Inspection, LayerMemory
from models.attention.projected import ProjectedAttention
from models.attention.softmax import attend, attend_in_steps
from models.config import AttentionOptions, EncoderConfig
from models.memory import MEMORY_RULES, Shapes
from models.packing import Packing


class LowRank(nn.Module):
    """A linear map of low rank, 0 at the start: B A x (LoRA, Hu et al., arXiv 2106.09685, section 4.1; no scaling)."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.normal_(self.down.weight, std=width**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map each row."""
        return self.up(self.down(x))  # type: ignore[no-any-return] # Module.__call__ is untyped


class InfiniAttention(ProjectedAttention):
    """Local attention and memory read-out, mixed by a gate per head; read before write.

    *Equation*: arXiv 2404.07143v2, equations 7 to 11, with the same projections for both parts:
    A = sigmoid(beta) A_mem + (1 - sigmoid(beta)) A_dot. Equations 7 to 9 are the memory rule's.

    **Deviations:** local attention looks in both directions (an encoder; the paper's is a causal decoder), so the
    memory is causal at segment granularity. An empty memory is not read and the gate not applied: the first segment
    is exactly multi-head attention. CLS and SEP are not written. Scores are scaled by sqrt(k), not by the
    sqrt(d_model) printed in equation 6.

    *Numerics*: the memory is float32 under any compute type.
    """

    has_memory: ClassVar[bool] = True

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        super().__init__(config, options)
        self.rule = MEMORY_RULES[options.memory_rule]
        self.beta = nn.Parameter(torch.full((config.heads,), options.gate_logit))
        sides = ("query", "key", "value") if options.memory_rank else ()
        self.memory_side = nn.ModuleDict(
            {side: LowRank(config.width, options.memory_rank) for side in sides}
        )
        self._memory_parts = self.rule.parts(config.heads, config.head_width, config.head_width)

    @property
    def memory_parts(self) -> Shapes:
        """Shape of each part of one sequence's memory in this layer."""
        return self._memory_parts

    def forward(
        self,
        x: Float[Tensor, "n d"],
        packing: Packing,
        memories: Sequence[LayerMemory] | None,
    ) -> tuple[Float[Tensor, "n d"], list[LayerMemory] | None]:
        """Attend within each sequence and to its memory, then write the segment into the memory."""
        if memories is None:
            raise ValueError("Infini-attention needs a memory per sequence; begin with empty ones")
        query, key, value = self.project(x)
        local = attend(query, key, value, packing, self.score)
        query, key, value = self._project_for_memory(x, query, key, value)
        mixed, after = [], []
        for rows, memory in zip(packing.slices, memories, strict=True):
            mixed.append(self._mix(query[rows], local[rows], memory))
            content = slice(rows.start + 1, rows.stop - 1)  # without CLS and SEP
            after.append(self._write(key[content], value[content], memory))
        return self.project_back(torch.cat(mixed).flatten(1)), after

    def step(
        self,
        x: Float[Tensor, "t d"],
        content: Bool[Tensor, " t"],
        memory: LayerMemory | None,
    ) -> tuple[Float[Tensor, "t d"], LayerMemory | None]:
        """Read the equations off the page: one token, one head, one binding at a time."""
        if memory is None:
            raise ValueError("Infini-attention needs a memory; begin with an empty one")
        query, key, value = self.project(x)
        mixed = local = self.attend_stepwise(query, key, value, "both")
        query, key, value = self._project_for_memory(x, query, key, value)
        if not memory.empty:
            recalled = self.rule.read_stepwise(query, memory.parts)
            gates = torch.sigmoid(self.beta)
            rows = [
                [g * past + (1 - g) * own for g, past, own in zip(gates, *token, strict=True)]
                for token in zip(recalled, local, strict=True)
            ]
            mixed = torch.stack([torch.stack(heads) for heads in rows])
        output = self.project_back(mixed.flatten(1))
        if not content.any():
            return output, memory
        after = self.rule.write_stepwise(
            key[content], value[content], memory.parts, empty=memory.empty
        )
        return output, LayerMemory(after, empty=False)

    def inspect(self, x: Float[Tensor, "t d"], memory: LayerMemory | None) -> Inspection:
        """Keep what every step gave, and how much of each head's output came from memory.

        The share is |g A_mem| / (|g A_mem| + |(1 - g) A_dot|), norms over a head's features, and 0 for an empty memory.
        """
        if memory is None:
            raise ValueError("Infini-attention needs a memory; begin with an empty one")
        query, key, value = self.project(x)
        local = attend_in_steps(query, key, value, self.score, "both")
        if memory.empty:
            return Inspection(
                (local,), local.outputs, local.outputs.new_zeros(local.outputs.shape[:2])
            )
        query, *_ = self._project_for_memory(x, query, key, value)
        gate = torch.sigmoid(self.beta).view(-1, 1, 1)
        recalled = gate * self._recall(query, memory).transpose(0, 1)
        own = (1 - gate) * local.outputs
        share = recalled.norm(dim=-1) / (recalled.norm(dim=-1) + own.norm(dim=-1))
        return Inspection((local,), recalled + own, share)

    def _project_for_memory(
        self,
        x: Float[Tensor, "n d"],
        query: Float[Tensor, "n h k"],
        key: Float[Tensor, "n h k"],
        value: Float[Tensor, "n h v"],
    ) -> tuple[Float[Tensor, "n h k"], Float[Tensor, "n h k"], Float[Tensor, "n h v"]]:
        """Return queries, keys and values on the memory's side: the local ones, and what was trained on top."""
        if not self.memory_side:
            return query, key, value
        shape = (-1, self.heads, query.shape[-1])
        return (
            query + self.memory_side["query"](x).view(shape),
            key + self.memory_side["key"](x).view(shape),
            value + self.memory_side["value"](x).view(shape),
        )

    def _mix(
        self,
        query: Float[Tensor, "t h k"],
        local: Float[Tensor, "t h v"],
        memory: LayerMemory,
    ) -> Float[Tensor, "t h v"]:
        if memory.empty:  # equation 7 would divide by zero, and the first segment must be untouched
            return local
        gate = torch.sigmoid(self.beta).unsqueeze(-1)
        return gate * self._recall(query, memory) + (1 - gate) * local

    def _recall(self, query: Float[Tensor, "t h k"], memory: LayerMemory) -> Float[Tensor, "t h v"]:
        with _full_precision(query):
            return self.rule.read(query.float(), memory.parts).to(query.dtype)

    def _write(
        self, key: Float[Tensor, "t h k"], value: Float[Tensor, "t h v"], memory: LayerMemory
    ) -> LayerMemory:
        if not len(key):  # a segment of CLS and SEP only leaves the memory as it was, also if empty
            return memory
        with _full_precision(key):
            after = self.rule.write(key.float(), value.float(), memory.parts, empty=memory.empty)
        return LayerMemory(after, empty=False)


def _full_precision(x: Tensor) -> torch.autocast:
    """Return a context in which no product is computed in half precision, whatever surrounds it."""
    return torch.autocast(x.device.type, enabled=False)
