"""The encoder: embeddings, blocks, pooled sums; memories in, memories out. One forward for all variants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.attention import Attention, Inspection, LayerMemory
from models.config import EncoderConfig
from models.memory import Memory
from models.packing import Packing, Segment, pack


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """What a batch of segments came back as.

    Attributes:
        sums: Sum of the last layer's token vectors, CLS and SEP included, per segment; *shape* (b, d).
            Divided by the token count it is the segment's mean vector.
        tokens: The last layer's token vectors of all segments, end to end; *shape* (n, d).
        memories: Each sequence's memory after its segment; None for a variant without memory.
    """

    sums: Tensor
    tokens: Tensor
    memories: list[Memory] | None


class Embeddings(nn.Module):
    """Token, token-type and position tables, summed and normalised (BERT, arXiv 1810.04805, section 3)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def forward(self, ids: Int[Tensor, " n"], positions: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Embed tokens at their positions; all are of token type 0."""
        x = self.tokens(ids) + self.token_types.weight[0] + self.positions(positions)
        return self.norm(x)  # type: ignore[no-any-return] # nn.Module.__call__ is untyped


class Block(nn.Module):
    """Attention and feed-forward, each with a residual and a norm after it (BERT's post-norm order)."""

    attention: Attention

    def __init__(self, config: EncoderConfig, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.up = nn.Linear(config.width, config.feed_forward_width)
        self.down = nn.Linear(config.feed_forward_width, config.width)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def finish(
        self, x: Float[Tensor, "n d"], attended: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n d"]:
        """Do everything after the attention."""
        x = self.attention_norm(attended + x)
        return self.feed_forward_norm(self.down(F.gelu(self.up(x))) + x)  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """An encoder assembled from the attention it is handed.

    Args:
        config: Shapes.
        make_attention: Builds one layer's attention.
    """

    def __init__(self, config: EncoderConfig, make_attention: Callable[[], Attention]) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config, make_attention()) for _ in range(config.layers))

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast("list[Block]", list(self.blocks))  # a ModuleList does not tell what it holds

    @property
    def has_memory(self) -> bool:
        """True if the variant carries a memory from segment to segment."""
        return self.layers[0].attention.has_memory

    def empty_memory(self) -> Memory:
        """Return the memory of a document of which nothing has been read."""
        parts = self.layers[0].attention.memory_parts
        shapes = {name: (self.config.layers, *shape) for name, shape in parts.items()}
        return Memory.empty(shapes, self.embeddings.tokens.weight.device)

    def _embed(self, ids: Int[Tensor, " n"], packing: Packing) -> Float[Tensor, "n d"]:
        device = self.embeddings.tokens.weight.device
        return self.embeddings(ids.to(device), packing.positions.to(device))  # type: ignore[no-any-return]

    def forward(
        self, segments: Sequence[Segment], memories: Sequence[Memory] | None = None
    ) -> EncoderOutput:
        """Encode a batch of segments, each of another sequence, packed without padding.

        Args:
            segments: At least one, none longer than `config.max_tokens`.
            memories: One per segment for a variant with memory; None for one without.
        """
        ids, packing = pack(segments)
        x = self._embed(ids, packing)
        after_layers: list[list[LayerMemory]] = []
        for index, block in enumerate(self.layers):
            before = (
                None if memories is None else [self._layer(memory, index) for memory in memories]
            )
            attended, after = block.attention(x, packing, before)
            x = block.finish(x, attended)
            if after is not None:
                after_layers.append(after)
        # By runs of equal length: a slice per sequence would make training fill a zero batch for each of them.
        sums = torch.cat(
            [x[rows].view(count, -1, x.shape[-1]).sum(1) for rows, count in packing.runs]
        )
        if memories is None:
            return EncoderOutput(sums, x, None)
        return EncoderOutput(sums, x, _advance(memories, after_layers, segments))

    def step(self, segment: Segment, memory: Memory | None) -> EncoderOutput:
        """Encode one segment through every variant's readable `step`: the slow twin of `forward`."""
        ids, packing = pack([segment])
        x = self._embed(ids, packing)
        after_layers: list[list[LayerMemory]] = []
        for index, block in enumerate(self.layers):
            before = None if memory is None else self._layer(memory, index)
            attended, after = block.attention.step(x, packing.content, before)
            x = block.finish(x, attended)
            if after is not None:
                after_layers.append([after])
        sums = x.sum(0, keepdim=True)
        if memory is None:
            return EncoderOutput(sums, x, None)
        return EncoderOutput(sums, x, _advance([memory], after_layers, [segment]))

    def inspect(self, segment: Segment, memory: Memory | None) -> list[Inspection]:
        """Encode one segment and keep how each layer's attention came to its output, first layer first."""
        ids, packing = pack([segment])
        x = self._embed(ids, packing)
        inspections = []
        for index, block in enumerate(self.layers):
            before = None if memory is None else self._layer(memory, index)
            inspections.append(block.attention.inspect(x, before))
            attended = block.attention.output(inspections[-1].outputs.transpose(0, 1).flatten(1))
            x = block.finish(x, attended)
        return inspections

    def _layer(self, memory: Memory, index: int) -> LayerMemory:
        """Return what one layer's attention sees of a memory: its own parts, and no other owner's."""
        parts = {
            name: memory.parts[name][index] for name in self.layers[index].attention.memory_parts
        }
        return LayerMemory(parts, empty=memory.tokens_seen == 0)


def _advance(
    before: Sequence[Memory], layers: list[list[LayerMemory]], segments: Sequence[Segment]
) -> list[Memory]:
    """Return each memory after its segment; parts that are not the attention's are handed on as they are."""
    after = []
    for i, (memory, segment) in enumerate(zip(before, segments, strict=True)):
        own = {
            name: torch.stack([layer[i].parts[name] for layer in layers])
            for name in layers[0][i].parts
        }
        after.append(Memory({**memory.parts, **own}, memory.tokens_seen + segment.content_tokens))
    return after
