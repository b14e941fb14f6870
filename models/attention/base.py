"""The written contract of an attention variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention.softmax import AttentionMap
from models.config import AttentionOptions, EncoderConfig, Precision
from models.memory import Parts, Shapes
from models.packing import Packing


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """One sequence's memory as one layer sees it.

    Attributes:
        parts: What the variant's memory rule keeps, float32; names and shapes are `Attention.memory_parts`.
        empty: True if nothing was read before; the parts are then never read.
    """

    parts: Parts
    empty: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """How one layer came to its output, for one sequence.

    Attributes:
        maps: One per direction the variant looks in.
        outputs: What each head hands to the output projection, after directions are fused, heads weighted and memory
            mixed in; *shape* (h, t, v).
        memory_share: Part of each head's output that came from memory, in [0, 1]; None for a variant without memory;
            *shape* (h, t).
    """

    maps: tuple[AttentionMap, ...]
    outputs: Tensor
    memory_share: Tensor | None = None


@runtime_checkable
class Attention(Protocol):
    """Attention of one layer, with its four projections.

    State is a value: it goes in, a new one comes out, and nothing on the module changes. A variant without memory
    takes and returns `None`; one with memory but without `memory_parts`, which only heeds whether something was read,
    returns `None`. `step` is the slow readable twin of `forward`; the contract tests hold them together,
    and `inspect` to both.
    """

    has_memory: ClassVar[bool]
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear

    def __init__(self, config: EncoderConfig, options: AttentionOptions) -> None:
        """Build the layer's parameters; values come from a checkpoint."""
        ...

    def prepare(self, precision: Precision) -> None:
        """Make the projections ready for inference: fused and in this precision, from what they are now."""
        ...

    def project_back(self, mixed: Float[Tensor, "n e"]) -> Float[Tensor, "n d"]:
        """Return the layer's output from its heads' outputs, side by side: what `output` computes, if prepared."""
        ...

    @property
    def memory_parts(self) -> Shapes:
        """Shape of each part of one sequence's memory in this layer; none for a variant without memory."""
        ...

    def __call__(
        self,
        x: Float[Tensor, "n d"],
        packing: Packing,
        memories: Sequence[LayerMemory] | None,
    ) -> tuple[Float[Tensor, "n d"], list[LayerMemory] | None]:
        """Attend within each sequence of a packed batch; same as `forward` of the module.

        Args:
            x: Token vectors of all sequences, end to end.
            packing: Where each sequence lies.
            memories: One per sequence, or None for a variant without memory.

        Returns:
            Output of the output projection, and each sequence's memory after it was read and then written.
        """
        ...

    def step(
        self,
        x: Float[Tensor, "t d"],
        content: Bool[Tensor, " t"],
        memory: LayerMemory | None,
    ) -> tuple[Float[Tensor, "t d"], LayerMemory | None]:
        """Do the same for one segment of one sequence, token by token.

        Args:
            x: Token vectors of the segment.
            content: False for CLS and SEP.
            memory: The sequence's memory before the segment.
        """
        ...

    def inspect(self, x: Float[Tensor, "t d"], memory: LayerMemory | None) -> Inspection:
        """Attend within one segment and keep what every step gave.

        Args:
            x: Token vectors of the segment.
            memory: The sequence's memory before the segment.
        """
        ...
