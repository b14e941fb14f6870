"""How far a long command is, on stderr."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """Shows the progress on stderr; where there is no terminal it says what begins.

    Args:
        progress: Started by the caller.
    """

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def begin(self, work: str, total: int) -> None:
        """Begin a new bar in place of the last."""
        if not self._progress.console.is_terminal:
            typer.echo(f"longstream: {work}", err=True)
        self._progress.reset(self._task, description=work, total=total)

    def advance(self, count: int) -> None:
        """Move it on."""
        self._progress.advance(self._task, count)
