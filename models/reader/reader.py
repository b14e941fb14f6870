"""A gated linear memory over whole segments, read into the segment's vector."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.memory import Memory, Parts, Shapes
from models.memory.features import positive_features
from models.packing import Packing
from models.reader.gates import SHIFT_DECAYS, OutputGate, WriteGate
from models.reader.topics import (
    mentions,
    mentions_stepwise,
    pool_topics,
    pool_topics_stepwise,
)

HEADS = 8
KEY_WIDTH = 16
RANK = 16
NAMED_DECAY = 0.9
"""How much of the average of mentions a segment leaves."""
LEAST_FIT = 0.16
"""Fit of reading nothing: what fits a query badly is read faintly."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one segment brings to the memory, and what it asks of it.

    Attributes:
        direction: The segment's own vector, unit length, *shape* (b, d).
        topics: What each head picked from its tokens, unit length, *shape* (b, h, d).
        query: Positive features, *shape* (b, h, k).
        key: Positive features, *shape* (b, h, k).
    """

    direction: Tensor
    topics: Tensor
    query: Tensor
    key: Tensor


class ContextReader(nn.Module):
    """Adds to a segment's mean vector what the memory says of the segments before it.

    A head picks a topic from the segment's tokens (attention pooling), in the encoder's own space, and binds it to a
    key. Memory is gated linear attention over segments, per head h and segment i:

        S_i = a_i S_(i-1) + w_i phi(k_i) t_i^T      z_i = a_i z_(i-1) + w_i phi(k_i)
        r_i = phi(q_i) a_i S_(i-1) / (phi(q_i) a_i z_(i-1) + c)

    The residual is the sum over heads of o_i (diag(s) + B A) r_i, in units of the mean vector's length; all gates a, w
    and o depend on the segment, so that a heading can replace what a body of text must keep. Gate o also sees how near
    the segment's nearest token is to r_i, and how near those of the segments before it were: a document that keeps
    naming what it is about need not be told.

    *Equation*: memory of linear attention (Katharopoulos et al., arXiv 2006.16236) with the gate of gated linear
    attention (Yang et al., arXiv 2312.06635), one scalar per head; pooling is source2token attention (Shen et al.,
    arXiv 1709.04696). **Deviation:** values stay in the encoder's space, with a low-rank correction on the way out.

    *State*: `Memory` parts named `reader.*`, of constant size; `forward` changes nothing on the module. An empty memory
    is not read, and the first segment's vector is the encoder's, bit for bit.

    Args:
        width: d, width of the encoder.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.topic = nn.Linear(width, HEADS)
        self.query = nn.Linear(width, HEADS * KEY_WIDTH)
        self.key = nn.Linear(width, HEADS * KEY_WIDTH)
        self.topic_key = nn.Parameter(torch.empty(HEADS, KEY_WIDTH, width))
        self.write_gate = WriteGate(width, HEADS)
        self.output_gate = OutputGate(width, HEADS)
        self.scale = nn.Parameter(torch.ones(HEADS, width))
        self.down = nn.Parameter(torch.empty(HEADS, RANK, width))
        self.up = nn.Parameter(torch.zeros(HEADS, width, RANK))
        self._begin()

    def _begin(self) -> None:
        """Start as a faint mixture of the opening and running means: topics as they are, little of each head."""
        nn.init.normal_(self.topic.weight, std=0.05)
        bound = 0.3 * self.width**-0.5
        for weight in (self.query.weight, self.key.weight, self.topic_key):
            nn.init.uniform_(weight, -bound, bound)
        nn.init.normal_(self.down, std=self.width**-0.5)

    @property
    def memory_parts(self) -> Shapes:
        """Shape of each part of one sequence's memory."""
        return {
            "reader.values": (HEADS, KEY_WIDTH, self.width),
            "reader.weights": (HEADS, KEY_WIDTH),
            "reader.recent": (len(SHIFT_DECAYS), self.width),
            "reader.segments": (1,),
            "reader.named": (HEADS,),
        }

    def forward(
        self,
        x: Float[Tensor, "n d"],
        sums: Float[Tensor, "b d"],
        packing: Packing,
        memories: Sequence[Memory],
    ) -> tuple[Float[Tensor, "b d"], list[Parts]]:
        """Read each sequence's memory for its segment, then write the segment into it.

        Args:
            x: Last layer's token vectors of all segments, end to end.
            sums: Their sum per segment.
            packing: Where each segment lies.
            memories: One per segment.

        Returns:
            What is to be added to the sums, zeros where nothing was read before, and the reader's parts of each memory
            after its segment; no two share storage, or one session would keep the whole step's alive.
        """
        names = self.memory_parts
        before = {name: torch.stack([m.parts[name] for m in memories]) for name in names}
        topics, written = pool_topics(x, self.topic(x).float(), packing)
        sums = sums.float()
        segment = self.take(F.normalize(sums, dim=-1), topics)
        heard, after, shift = self.advance(segment, before)
        mention = mentions(x, heard, packing)
        found = self.residual(segment.direction, heard, mention, before["reader.named"], shift)
        after["reader.named"] = self._named(before["reader.named"], mention)
        read = torch.tensor([memory.tokens_seen > 0 for memory in memories], device=x.device)
        added = torch.where(read.unsqueeze(-1), sums.norm(dim=-1, keepdim=True) * found, 0.0)
        kept = {name: _where(written, after[name], part) for name, part in before.items()}
        return added, [
            {name: part[i].clone() for name, part in kept.items()} for i in range(len(memories))
        ]

    def step(
        self, x: Float[Tensor, "t d"], content: Bool[Tensor, " t"], memory: Memory
    ) -> tuple[Float[Tensor, "1 d"], Parts]:
        """Do the same for one segment, head by head and token by token."""
        before = {name: memory.parts[name] for name in self.memory_parts}
        total, named = x.sum(0), before["reader.named"]
        segment = self.take(
            F.normalize(total, dim=-1), pool_topics_stepwise(x[content], self.topic(x[content]))
        )
        shift = self.shift(segment.direction, before["reader.recent"], before["reader.segments"])
        keep, weight = self.write_gate(segment.direction, segment.topics, shift)
        read, values, weights = [], [], []
        for h in range(HEADS):
            kept = keep[h] * before["reader.values"][h]
            fits = keep[h] * before["reader.weights"][h] * segment.query[h]
            found = sum(segment.query[h, k] * kept[k] for k in range(KEY_WIDTH))
            read.append(found / (fits.sum() + LEAST_FIT))
            key = weight[h] * segment.key[h]
            values.append(kept + torch.outer(key, segment.topics[h]))
            weights.append(keep[h] * before["reader.weights"][h] + key)
        heard = torch.stack(read)
        mention = mentions_stepwise(x[content], heard)
        added = total.norm() * self.residual(segment.direction, heard, mention, named, shift)
        after = {
            "reader.values": torch.stack(values),
            "reader.weights": torch.stack(weights),
            "reader.recent": self._recent(before["reader.recent"], segment.direction),
            "reader.segments": before["reader.segments"] + 1,
            "reader.named": self._named(named, mention),
        }
        if memory.tokens_seen == 0:
            added = torch.zeros_like(added)
        return added.unsqueeze(0), after if content.any() else before

    def take(self, direction: Float[Tensor, "*b d"], topics: Float[Tensor, "*b h d"]) -> Written:
        """Return what segments bring and ask, from their vectors and topics."""
        scaled = self.width**0.5
        asked = self.query(scaled * direction).unflatten(-1, (HEADS, KEY_WIDTH))
        named = self.key(scaled * direction).unflatten(-1, (HEADS, KEY_WIDTH))
        named = named + torch.einsum("...hd,hkd->...hk", scaled * topics, self.topic_key)
        return Written(direction, topics, positive_features(asked), positive_features(named))

    def advance(
        self, segment: Written, parts: Parts
    ) -> tuple[Float[Tensor, "b h d"], dict[str, Tensor], Float[Tensor, "b f"]]:
        """Do one segment of each sequence: forget, read, write.

        Returns:
            What each head read, the parts after the segment, and the segment's shift.
        """
        recent, before = parts["reader.recent"], parts["reader.segments"]
        shift = self.shift(segment.direction, recent, before)
        keep, weight = self.write_gate(segment.direction, segment.topics, shift)
        values = keep[..., None, None] * parts["reader.values"]
        weights = keep[..., None] * parts["reader.weights"]
        total = torch.einsum("bhk,bhkd->bhd", segment.query, values)
        fit = (segment.query * weights).sum(-1, keepdim=True)
        read = total / (fit + LEAST_FIT)
        key = weight[..., None] * segment.key
        after = {
            "reader.values": values + key[..., None] * segment.topics.unsqueeze(-2),
            "reader.weights": weights + key,
            "reader.recent": self._recent(recent, segment.direction),
            "reader.segments": before + 1,
        }
        return read, after, shift

    @staticmethod
    def _named(
        named: Float[Tensor, "*b h"], mention: Float[Tensor, "*b h"]
    ) -> Float[Tensor, "*b h"]:
        return NAMED_DECAY * named + (1 - NAMED_DECAY) * mention

    @staticmethod
    def shift(
        direction: Float[Tensor, "*b d"],
        recent: Float[Tensor, "*b s d"],
        before: Float[Tensor, "*b 1"],
    ) -> Float[Tensor, "*b f"]:
        """Return how far a segment is from what came before: its cosine to moving averages, and how much came."""
        likeness = torch.einsum("...d,...sd->...s", direction, F.normalize(recent, dim=-1))
        return torch.cat([likeness, 1 / (1 + before)], dim=-1)

    @staticmethod
    def _recent(
        recent: Float[Tensor, "*b s d"], direction: Float[Tensor, "*b d"]
    ) -> Float[Tensor, "*b s d"]:
        decays = recent.new_tensor(SHIFT_DECAYS).unsqueeze(-1)
        return decays * recent + (1 - decays) * direction.unsqueeze(-2)

    def residual(
        self,
        direction: Float[Tensor, "*b d"],
        read: Float[Tensor, "*b h d"],
        mention: Float[Tensor, "*b h"],
        named: Float[Tensor, "*b h"],
        shift: Float[Tensor, "*b f"],
    ) -> Float[Tensor, "*b d"]:
        """Return what is added to a unit vector."""
        gated: Tensor = (
            self.output_gate(direction, read, mention, named, shift).unsqueeze(-1) * read
        )
        bent: Tensor = torch.einsum(
            "...hr,hdr->...d", torch.einsum("...hd,hrd->...hr", gated, self.down), self.up
        )
        return (gated * self.scale).sum(-2) + bent


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (new.ndim - 1)), new, old)
