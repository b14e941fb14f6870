"""Who looks on while an evaluation runs."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Watch(Protocol):
    """Is told how far a run is; it may draw a bar, and changes nothing."""

    def begin(self, work: str, total: int) -> None:
        """A piece of work begins.

        Args:
            work: What it is, for people.
            total: How often `advance` will count, in all.
        """
        ...

    def advance(self, count: int) -> None:
        """So much more of it is done."""
        ...


class Unwatched:
    """Nobody looks on."""

    def begin(self, work: str, total: int) -> None:
        """Do nothing."""

    def advance(self, count: int) -> None:
        """Do nothing."""
