"""What a memory rule is: how one sequence's memory of one layer is read and written.

A rule sees only content tokens (no CLS, no SEP) and never a memory it may not read: whether a memory is empty is
the caller's branch, see `Memory.tokens_seen`. It keeps nothing itself: parts go in, new parts come out.
"""

from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from models.memory.state import Parts, Shapes


@runtime_checkable
class MemoryRule(Protocol):
    """Read-out and write of one layer's memory.

    `read_stepwise` and `write_stepwise` are the slow readable twins of `read` and `write`; the contract tests hold
    them together, values and gradients, for every entry of `MEMORY_RULES`.
    """

    additive: ClassVar[bool]
    """True if the memory of a text is the sum of its tokens' memories: then the rule is an `AdditiveRule` too."""

    def parts(self, heads: int, key_width: int, value_width: int) -> Shapes:
        """Return the shape of each part the rule keeps; all parts of an empty memory are zero."""
        ...

    def read(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        """Read a memory that is not empty, all tokens at once."""
        ...

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,
    ) -> Parts:
        """Return the memory after the segment, in new tensors.

        Args:
            key: Keys of the segment's content tokens, float32.
            value: Values of the segment's content tokens, float32.
            parts: The memory before the segment.
            empty: True if nothing was written before; then nothing may be read.
        """
        ...

    def read_stepwise(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        """Do what `read` does, one token and one head at a time."""
        ...

    def write_stepwise(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,
    ) -> Parts:
        """Do what `write` does, one token after the other."""
        ...


@runtime_checkable
class AdditiveRule(MemoryRule, Protocol):
    """A rule whose memories can be added and taken from each other.

    Of the memories of two texts, `merge` gives that of both; of a text's and its beginning's, `subtract` gives that of
    the rest. Order and cuts do not matter, up to float error.
    """

    def merge(self, one: Parts, other: Parts) -> Parts:
        """Return the memory of what either memory has read."""
        ...

    def subtract(self, whole: Parts, part: Parts) -> Parts:
        """Return the memory of what `whole` has read and `part` has not.

        What is left must be more than the float error of `whole`; nothing left is an empty memory, not to be read.
        """
        ...
