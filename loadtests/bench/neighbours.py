"""What other programs did to the processor while something was measured."""

import contextlib
import time
from typing import TypeAlias

import psutil

OwnSeconds: TypeAlias = dict[tuple[int, float], float]
"""Processor seconds of processes, by process id and start."""


class Neighbours:
    """Counts from its making on: the processor's time less that of this process and what it started.

    Args:
        ended: Seconds of processes of ours that are no more, as `own_seconds` found them last; grows meanwhile.
    """

    def __init__(self, ended: OwnSeconds | None = None) -> None:
        self._ended = {} if ended is None else ended
        self._begun_s = time.perf_counter()
        self._busy_s = _busy_s()
        self._own_s = self._ended | own_seconds()

    def share(self) -> float:
        """Return the share of all cores in other hands, 0 to 1.

        At most: what a process of ours did in its last moments counts among the others. Time that a hypervisor
        gave to somebody else counts, too.
        """
        wall_s = (time.perf_counter() - self._begun_s) * (psutil.cpu_count() or 1)
        before, now = self._own_s, self._ended | own_seconds()
        own_s = sum(spent - before.get(pid, 0.0) for pid, spent in now.items())
        return min(1.0, max(0.0, (_busy_s() - self._busy_s - own_s) / max(wall_s, 1e-9)))


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts a guest's time among the user's, too.
    twice_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle_s - twice_s)


def own_seconds() -> OwnSeconds:
    """Return the processor's seconds of this process and of each that it started."""
    here = psutil.Process()
    found: OwnSeconds = {}
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            spent = process.cpu_times()
            found[process.pid, process.create_time()] = spent.user + spent.system
    return found
