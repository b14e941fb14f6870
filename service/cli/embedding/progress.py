"""What a person sees of a run: a bar, tokens per second and when it will be done."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from service.cli.embedding.job import Status
from service.client import LongstreamError


class Pace:
    """Speed of the new part of a run; rows of an earlier run cost nothing and do not count.

    Args:
        total_bytes: Size of the source; None for a pipe.
        clock: Seconds, for tests.
    """

    def __init__(
        self, total_bytes: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total_bytes = total_bytes
        self._clock = clock
        self._begun_at = clock()
        self._base = Status()

    def describe(self, status: Status) -> str:
        """Return speed and remaining time as words."""
        if status.resumed:
            self._base = status
            self._begun_at = self._clock()
            return f"{status.chunks} chunks from an earlier run"
        seconds = max(self._clock() - self._begun_at, 1e-9)
        words = f"{(status.tokens - self._base.tokens) / seconds:,.0f} tokens/s"
        done = status.source_bytes - self._base.source_bytes
        if self._total_bytes is None or not done:
            return words
        left = max(self._total_bytes - status.source_bytes, 0) * seconds / done
        return f"{words}, {_clock_face(left)} left"


class ProgressBar:
    """Shows a run on a terminal; elsewhere it says only that it waits.

    Args:
        console: Where to draw.
        total_bytes: Size of the source; None for a pipe, which has no end in sight.
    """

    def __init__(self, console: Console, total_bytes: int | None) -> None:
        self._pace = Pace(total_bytes)
        self._console = console
        self._told: set[float] = set()
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.fields[chunks]} chunks, {task.fields[tokens]:,} tokens"),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total_bytes, chunks=0, tokens=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, status: Status) -> None:
        """Show how far the run is."""
        self._bar.update(
            self._task,
            completed=status.source_bytes,
            description=self._pace.describe(status),
            chunks=status.chunks,
            tokens=status.tokens,
        )

    def waiting(self, url: str, patience_s: float, error: LongstreamError) -> None:
        """Show that the service is being waited for, and for how long at most.

        Without a terminal it is one line for each patience, not one for each attempt: logs are kept.
        """
        self._bar.update(self._task, description=f"waiting for the service: {error.code}")
        if self._console.is_terminal or patience_s in self._told:
            return
        self._told.add(patience_s)
        line = f"longstream: waiting up to {patience_s:g} s for {url}: {error.detail}"
        self._console.print(
            " ".join(line.split()), markup=False, highlight=False, emoji=False, soft_wrap=True
        )


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
