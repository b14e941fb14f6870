"""What all variants share: four projections, a score function, and one softmax pass per direction."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention.base import Inspection, LayerMemory
from models.attention.scoring import SCORES
from models.attention.softmax import Direction, attend, attend_in_steps, select, visible
from models.config import AttentionOptions, EncoderConfig, Precision
from models.memory import Shapes
from models.packing import Packing
from models.prepared import PreparedLinear


class ProjectedAttention(nn.Module):
    """Project, attend in each of the variant's directions, fuse, project back.

    A variant says how many heads it has, which directions it looks in, and how it makes one output of all passes.
    """

    has_memory: ClassVar[bool] = False
    directions: ClassVar[tuple[Direction, ...]] = ("both",)

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        super().__init__()
        self.heads = self.count_heads(config)
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        self.score = SCORES[options.score](self.heads, config.width // self.heads)
        self._joined: PreparedLinear | None = None
        self._back: PreparedLinear | None = None

    def prepare(self, precision: Precision) -> None:
        """Make the projections ready for inference: queries, keys and values in one product."""
        self._joined = PreparedLinear([self.query, self.key, self.value], precision)
        self._back = PreparedLinear([self.output], precision)

    @property
    def memory_parts(self) -> Shapes:
        """Shape of each part of one sequence's memory in this layer: none, unless the variant says otherwise."""
        return {}

    @staticmethod
    def count_heads(config: EncoderConfig) -> int:
        """Return how many subspaces the variant attends in: as many as the base, unless it says otherwise."""
        return config.heads

    def fuse(self, passes: Sequence[Float[Tensor, "n h v"]]) -> Float[Tensor, "n h v"]:
        """Make one output per token and head of what each direction gave."""
        [only] = passes
        return only

    def forward(
        self,
        x: Float[Tensor, "n d"],
        packing: Packing,
        memories: Sequence[LayerMemory] | None,  # noqa: ARG002 - the contract; most variants have none
    ) -> tuple[Float[Tensor, "n d"], list[LayerMemory] | None]:
        """Attend within each sequence of the packed batch."""
        query, key, value = self.project(x)
        passes = [attend(query, key, value, packing, self.score, way) for way in self.directions]
        return self.project_back(self.fuse(passes).flatten(1)), None

    def step(
        self,
        x: Float[Tensor, "t d"],
        content: Bool[Tensor, " t"],  # noqa: ARG002 - the contract; CLS and SEP attend as others do
        memory: LayerMemory | None,  # noqa: ARG002 - the contract; most variants have none
    ) -> tuple[Float[Tensor, "t d"], LayerMemory | None]:
        """Attend token by token."""
        query, key, value = self.project(x)
        passes = [self.attend_stepwise(query, key, value, way) for way in self.directions]
        return self.project_back(self.fuse(passes).flatten(1)), None

    def inspect(self, x: Float[Tensor, "t d"], memory: LayerMemory | None) -> Inspection:  # noqa: ARG002
        """Attend within one segment and keep what every step gave."""
        query, key, value = self.project(x)
        maps = tuple(attend_in_steps(query, key, value, self.score, way) for way in self.directions)
        fused = self.fuse([attention_map.outputs.transpose(0, 1) for attention_map in maps])
        return Inspection(maps, fused.transpose(0, 1))

    def project(
        self, x: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n h k"], Float[Tensor, "n h k"], Float[Tensor, "n h v"]]:
        """Return queries, keys and values, split into heads; float32 if prepared in whatever precision."""
        if self._joined is not None:
            joined = self._joined(x).float()
            query, key, value = joined.view(len(x), 3, self.heads, -1).unbind(1)
            return query, key, value

        def split(projection: nn.Linear) -> Float[Tensor, "n h k"]:
            return projection(x).unflatten(-1, (self.heads, -1))  # type: ignore[no-any-return] # Module.__call__

        return split(self.query), split(self.key), split(self.value)

    def project_back(self, mixed: Float[Tensor, "n e"]) -> Float[Tensor, "n d"]:
        """Return the layer's output from its heads' outputs, side by side."""
        if self._back is not None:
            return self._back(mixed).float()
        return self.output(mixed)  # type: ignore[no-any-return] # Module.__call__

    def attend_stepwise(
        self,
        query: Float[Tensor, "t h k"],
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        direction: Direction,
    ) -> Float[Tensor, "t h v"]:
        """Score, select, sum: for one token after the other, over the tokens it may look at."""
        rows = []
        for i, seen in enumerate(visible(len(query), direction, query.device)):
            scores = self.score(query[i : i + 1].transpose(0, 1), key[seen].transpose(0, 1))
            _, weights = select(scores, seen[seen].unsqueeze(0))  # (h, 1, s)
            rows.append((weights @ value[seen].transpose(0, 1)).squeeze(1))
        return torch.stack(rows)
