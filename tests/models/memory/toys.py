"""Two memory rules that nobody needs: one keeps the contract, the other looks as if it did."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from models.memory import Parts, Shapes


class MeanRule:
    """Whatever is asked, the answer is the mean of all values."""

    additive: ClassVar[bool] = True

    def parts(self, heads: int, key_width: int, value_width: int) -> Shapes:
        return {"total": (heads, value_width), "tokens": ()}

    def read(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        mean = parts["total"] / parts["tokens"]
        # Scaled by nothing that depends on the query, and yet a function of it: gradients are asked for.
        return mean.expand(len(query), *mean.shape) + 0 * query.sum()

    def read_stepwise(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        return torch.stack([parts["total"] / parts["tokens"] + 0 * token.sum() for token in query])

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,
    ) -> Parts:
        total = parts["total"] + value.sum(0) + 0 * key.sum()
        return {"total": total, "tokens": parts["tokens"] + len(value)}

    def write_stepwise(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,
    ) -> Parts:
        for i in range(self.written(len(value))):
            parts = self.write(key[i : i + 1], value[i : i + 1], parts, empty=False)
        return parts

    def merge(self, one: Parts, other: Parts) -> Parts:
        return {name: one[name] + other[name] for name in one}

    def subtract(self, whole: Parts, part: Parts) -> Parts:
        return {name: whole[name] - part[name] for name in whole}

    def written(self, tokens: int) -> int:
        """Return how many of a segment's tokens the slow twin writes."""
        return tokens


class OffByOneRule(MeanRule):
    """Its slow twin forgets the last token of a long segment."""

    def written(self, tokens: int) -> int:
        return tokens if tokens == 1 else tokens - 1
