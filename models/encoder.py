"""The encoder: embeddings, blocks, pooled sums; memories in, memories out. One forward for all variants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.attention import Attention, Inspection, LayerMemory
from models.blocks import Block, Embeddings
from models.config import EncoderConfig
from models.memory import Memory, Parts
from models.packing import Packing, Segment, pack
from models.reader import ContextReader
from models.recall import RecallHead
from models.recall.reference import write_slowly


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


class Encoder(nn.Module):
    """An encoder assembled from the attention it is handed.

    Args:
        config: Shapes.
        make_attention: Builds a layer's attention, given the layer's number from 0.
        reader: Reads earlier segments into a segment's sum; None for most variants.

    Attributes:
        recall: Keeps numbers for questions; None unless one was trained for the base, and then no vector depends on it.
    """

    def __init__(
        self,
        config: EncoderConfig,
        make_attention: Callable[[int], Attention],
        reader: ContextReader | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(
            Block(config, make_attention(layer)) for layer in range(config.layers)
        )
        self.reader = reader
        self.recall: RecallHead | None = None
        # Layers whose attention has a memory; looked up for every sequence of every step.
        self._remembering = tuple(
            i for i, block in enumerate(self.layers) if block.attention.has_memory
        )

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast("list[Block]", list(self.blocks))  # a ModuleList does not tell what it holds

    @property
    def has_memory(self) -> bool:
        """True if the variant carries a memory from segment to segment."""
        return self.reader is not None or self.attention_has_memory

    @property
    def attention_has_memory(self) -> bool:
        """True if what was read before changes how the layers attend; a reader above them does not."""
        return bool(self._remembering)

    def empty_memory(self) -> Memory:
        """Return the memory of a document of which nothing has been read."""
        shapes: dict[str, tuple[int, ...]] = {}
        for index in self._remembering:
            for name, shape in self.layers[index].attention.memory_parts.items():
                shapes[name] = (len(self._remembering), *shape)
        for owner in (self.reader, self.recall):
            if owner is not None:
                shapes.update(owner.memory_parts)
        return Memory.empty(shapes, self.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and everything is computed."""
        return self.embeddings.tokens.weight.device

    def _embed(self, ids: Int[Tensor, " n"], packing: Packing) -> Float[Tensor, "n d"]:
        return self.embeddings(ids.to(self.device), packing.positions.to(self.device))  # type: ignore[no-any-return]

    def forward(
        self, segments: Sequence[Segment], memories: Sequence[Memory] | None = None
    ) -> EncoderOutput:
        """Encode a batch of segments, each of another sequence, packed without padding.

        Args:
            segments: At least one, none longer than `config.max_tokens`.
            memories: One per segment for a variant with memory; None for one without, or, unless `layers_write`, where
                nothing was read before and nothing is to be kept. Those that lie elsewhere, as after they were
                stored, are moved to the encoder's device, where the new ones stay.
        """
        if memories is not None:
            memories = [memory.to(self.device) for memory in memories]
        ids, packing = pack(segments)
        x = self._embed(ids, packing)
        after_layers: list[list[LayerMemory]] = []
        middle = x
        for index, block in enumerate(self.layers):
            before = None
            if memories is not None and block.attention.has_memory:
                before = [self._layer(memory, index) for memory in memories]
            attended, after = block.attention(x, packing, before)
            x = block.finish(x, attended)
            if after is not None:
                after_layers.append(after)
            if self._recalls_from(index):
                middle = x
        # By runs of equal length: a slice per sequence would make training fill a zero batch for each of them.
        sums = torch.cat(
            [x[rows].view(count, -1, x.shape[-1]).sum(1) for rows, count in packing.runs]
        )
        if memories is None:
            return EncoderOutput(sums, x, None)
        carried = _advance(memories, after_layers, segments)
        if self.recall is not None:
            seen = torch.split(middle, list(packing.lengths))
            carried = [
                _with(after, self.recall.write(states, segment, before.parts))
                for after, states, segment, before in zip(
                    carried, seen, segments, memories, strict=True
                )
            ]
        return self.add_context(EncoderOutput(sums, x, carried), packing, memories)

    def add_context(
        self, layers: EncoderOutput, packing: Packing, memories: Sequence[Memory]
    ) -> EncoderOutput:
        """Add to what the layers gave what the reader, if there is one, makes of the memories before the segments."""
        if self.reader is None or layers.memories is None:
            return layers
        added, own = self.reader(layers.tokens, layers.sums, packing, memories)
        lengths = torch.tensor(packing.lengths, device=added.device)
        shares = added / lengths.unsqueeze(-1)
        spread = shares.repeat_interleave(lengths, 0, output_size=len(layers.tokens))
        after = [_with(memory, parts) for memory, parts in zip(layers.memories, own, strict=True)]
        return EncoderOutput(layers.sums + added, layers.tokens + spread, after)

    def step(self, segment: Segment, memory: Memory | None) -> EncoderOutput:
        """Encode one segment through every variant's readable `step`: the slow twin of `forward`."""
        ids, packing = pack([segment])
        x = self._embed(ids, packing)
        after_layers: list[list[LayerMemory]] = []
        middle = x
        for index, block in enumerate(self.layers):
            before = self._layer(memory, index) if memory and block.attention.has_memory else None
            attended, after = block.attention.step(x, packing.content, before)
            x = block.finish(x, attended)
            if after is not None:
                after_layers.append([after])
            if self._recalls_from(index):
                middle = x
        sums = x.sum(0, keepdim=True)
        if memory is None:
            return EncoderOutput(sums, x, None)
        [carried] = _advance([memory], after_layers, [segment])
        if self.recall is not None:
            carried = _with(carried, write_slowly(self.recall, middle, segment, memory.parts))
        if self.reader is None:
            return EncoderOutput(sums, x, [carried])
        added, read = self.reader.step(x, packing.content, memory)
        return EncoderOutput(sums + added, x + added / len(x), [_with(carried, read)])

    @property
    def layers_write(self) -> bool:
        """True if layers keep what they read: then they need a memory even where it is empty."""
        return any(self.layers[index].attention.memory_parts for index in self._remembering)

    def states(
        self, segments: Sequence[Segment], layers: int, *, begun: bool = False
    ) -> list[Tensor]:
        """Return what the first layers, which must keep nothing, make of segments; the others are not run.

        In the middle of an encoder a token still knows its neighbours better than its topic.

        Args:
            segments: At least one.
            layers: How many.
            begun: Something was read before each of them.

        Returns:
            Each segment's token vectors, CLS and SEP included, *shape* (t, d).
        """
        ids, packing = pack(segments)
        x = self._embed(ids, packing)
        before = [LayerMemory({}, empty=False)] * len(segments) if begun else None
        for block in self.layers[:layers]:
            attended, _ = block.attention(x, packing, before)
            x = block.finish(x, attended)
        return list(torch.split(x, list(packing.lengths)))

    def inspect(self, segment: Segment, memory: Memory | None) -> list[Inspection]:
        """Encode one segment and keep how each layer's attention came to its output, first layer first.

        Where some layers have a memory, the share of it is 0 in the others. What a reader adds is not attention, and
        not shown.
        """
        memory = memory.to(self.device) if memory else None
        ids, packing = pack([segment])
        x = self._embed(ids, packing)
        inspections = []
        for index, block in enumerate(self.layers):
            before = self._layer(memory, index) if memory and block.attention.has_memory else None
            found = block.attention.inspect(x, before)
            if self.attention_has_memory and found.memory_share is None:  # below those with one
                nothing = found.outputs.new_zeros(found.outputs.shape[:2])
                found = replace(found, memory_share=nothing)
            inspections.append(found)
            attended = block.attention.project_back(
                inspections[-1].outputs.transpose(0, 1).flatten(1)
            )
            x = block.finish(x, attended)
        return inspections

    def _recalls_from(self, index: int) -> bool:
        """True for the layer whose output the recall head reads."""
        return self.recall is not None and index + 1 == self.recall.options.layer

    def _layer(self, memory: Memory, index: int) -> LayerMemory:
        """Return what one layer's attention sees of a memory: its own parts, and no other owner's."""
        place = self._remembering.index(index)
        parts = {
            name: memory.parts[name][place] for name in self.layers[index].attention.memory_parts
        }
        return LayerMemory(parts, empty=memory.tokens_seen == 0)


def _advance(
    before: Sequence[Memory], layers: list[list[LayerMemory]], segments: Sequence[Segment]
) -> list[Memory]:
    """Return each memory after its segment; parts that are not the attention's are handed on as they are."""
    after = []
    for i, (memory, segment) in enumerate(zip(before, segments, strict=True)):
        names = layers[0][i].parts if layers else ()
        own = {name: torch.stack([layer[i].parts[name] for layer in layers]) for name in names}
        after.append(Memory({**memory.parts, **own}, memory.tokens_seen + segment.content_tokens))
    return after


def _with(memory: Memory, parts: Parts) -> Memory:
    """Put another owner's parts into a memory."""
    return Memory({**memory.parts, **parts}, memory.tokens_seen)
