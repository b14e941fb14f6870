"""What a student is asked to share with its teacher."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

RELATION_HEADS: Final = 12
TEMPERATURE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Taps:
    """What a forward pass of an encoder left behind, for a batch of sequences of one length.

    Attributes:
        layers: Output of each block, *shape* (b, t, d).
        relations: Queries, keys and values of the last layer, *shape* (b, t, d) each.
    """

    layers: Sequence[Tensor]
    relations: Mapping[str, Tensor]

    @property
    def sentence(self) -> Float[Tensor, "b d"]:
        """The sentence vectors, unit length: mean over the last layer's tokens, CLS and SEP included."""
        return F.normalize(self.layers[-1].float().mean(1), dim=-1)


def sentence_loss(student: Taps, teacher: Taps) -> Tensor:
    """Return 1 - cosine between the sentence vectors, mean over the batch."""
    return 1 - (student.sentence * teacher.sentence).sum(-1).mean()


def similarity_loss(student: Taps, teacher: Taps) -> Tensor:
    """Return how far the batch's similarities are from the teacher's: squared, mean over all pairs.

    What ranking depends on: a student may turn all vectors the same way and lose nothing here.
    """
    ours, theirs = (taps.sentence @ taps.sentence.T for taps in (student, teacher))
    return (ours - theirs).square().mean()


def contrast_loss(queries: Float[Tensor, "b d"], passages: Float[Tensor, "b d"]) -> Tensor:
    """Return how hard it is to tell each query's passage from the others of the batch.

    *Equation*: InfoNCE (van den Oord et al., arXiv 1807.03748, equation 4) over cosines at temperature
    `TEMPERATURE`, both ways, mean. Vectors are of unit length.
    """
    scores = queries @ passages.T / TEMPERATURE
    right = torch.arange(len(queries), device=scores.device)
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


def layer_loss(student: Taps, teacher: Taps) -> Tensor:
    """Return the squared distance of all blocks' outputs, in units of the teacher's variance, mean over blocks."""
    parts = [
        (ours.float() - theirs.float()).square().mean() / theirs.float().var()
        for ours, theirs in zip(student.layers, teacher.layers, strict=True)
    ]
    return torch.stack(parts).mean()


def relation_loss(student: Taps, teacher: Taps) -> Tensor:
    """Return the divergence of the last layer's query-query, key-key and value-value relations.

    *Equation*: MiniLMv2 (Wang et al., arXiv 2012.15828, self-attention relations): KL(softmax(A_T A_T^T / sqrt(d_r)) ||
    softmax(A_S A_S^T / sqrt(d_r))), mean over relation heads and tokens, summed over the three. Relation heads are
    cut from the whole width, so student and teacher may differ in their attention heads. **Deviation:** none.
    """
    total = torch.zeros(())
    for name, theirs in teacher.relations.items():
        target = F.log_softmax(_relations(theirs), -1)
        found = F.log_softmax(_relations(student.relations[name]), -1)
        total = total + (target.exp() * (target - found)).sum(-1).mean()
    return total


def _relations(x: Float[Tensor, "b t d"]) -> Float[Tensor, "b r t t"]:
    heads = x.float().view(*x.shape[:2], RELATION_HEADS, -1).transpose(1, 2)
    return heads @ heads.mT / math.sqrt(heads.shape[-1])
