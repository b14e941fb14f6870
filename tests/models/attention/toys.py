"""Two attention variants that nobody needs: one keeps the contract, the other looks as if it did."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.attention.base import Inspection, LayerMemory
from models.attention.projected import ProjectedAttention
from models.attention.softmax import AttentionMap, select, visible
from models.packing import Packing


class RunningMean(ProjectedAttention):
    """Every token gets the mean of the values up to its own; queries and keys are not asked."""

    def forward(
        self,
        x: Float[Tensor, "n d"],
        packing: Packing,
        memories: Sequence[LayerMemory] | None,
    ) -> tuple[Float[Tensor, "n d"], list[LayerMemory] | None]:
        """Divide running sums by how many they hold."""
        value, counts = self.value(x), packing.positions.unsqueeze(-1) + 1
        sums = torch.cat([value[rows].cumsum(0) for rows in packing.slices])
        return self.output(sums / counts), None

    def step(
        self,
        x: Float[Tensor, "t d"],
        content: Bool[Tensor, " t"],
        memory: LayerMemory | None,
    ) -> tuple[Float[Tensor, "t d"], LayerMemory | None]:
        """Take the mean again for every token."""
        value = self.value(x)
        means = [value[: self.seen_from(i)].mean(0) for i in range(len(x))]
        return self.output(torch.stack(means)), None

    def inspect(self, x: Float[Tensor, "t d"], memory: LayerMemory | None) -> Inspection:
        """Show equal scores for all that is seen."""
        value = self.project(x)[2].transpose(0, 1)
        equal = torch.zeros(self.heads, len(x), len(x))
        scores, weights = select(equal, visible(len(x), "forward"))
        outputs = weights @ value
        return Inspection((AttentionMap("forward", scores, weights, outputs),), outputs)

    def seen_from(self, place: int) -> int:
        """Return how many tokens the token at a place sees."""
        return place + 1


class OffByOne(RunningMean):
    """Its step overlooks the token itself."""

    def seen_from(self, place: int) -> int:
        return max(1, place)
