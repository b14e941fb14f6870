"""Process trees: who dies with whom, and how a tree is ended without naming a stranger.

A process is known by its id and its start time. The kernel gives ids out again, so an id alone may be
someone else's by the time a signal is sent.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for all time.

    Attributes:
        pid: Its number.
        started: When it was started, Unix time, seconds.
    """

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """Return the process if it is still the same one."""
        try:
            process = psutil.Process(self.pid)
            # psutil reads the start time in clock ticks, so equal means equal.
            return process if process.create_time() == self.started else None
        except psutil.Error:
            return None


def adopt_orphans() -> None:
    """Make this process the parent of every descendant that loses its own.

    Other systems than Linux have no such thing; there the record of the run is all that is left.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants() -> frozenset[ProcessId]:
    """Return all processes below this one."""
    found: set[ProcessId] = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found.add(ProcessId(process.pid, process.create_time()))
    return frozenset(found)


def runs(one: ProcessId) -> bool:
    """Return whether a process is there and more than a zombie.

    A zombie is a table entry that its parent has not read yet; nothing of it runs.
    """
    process = one.find()
    return process is not None and not _is_zombie(process)


def end(processes: Iterable[ProcessId], timeout_s: float = 5.0) -> list[ProcessId]:
    """Kill processes and wait until they are gone.

    Args:
        processes: Whom to end; those that ended before are skipped.
        timeout_s: Longest wait, seconds.

    Returns:
        Those that are still there.
    """
    alive = {process: one for one in processes if (process := one.find()) is not None}
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, left = psutil.wait_procs(list(alive), timeout=timeout_s)
    return [alive[process] for process in left if not _is_zombie(process)]


def end_descendants(rounds: int = 20) -> None:
    """Kill every process below this one, also those that are started meanwhile.

    Args:
        rounds: How often to look again.
    """
    for _ in range(rounds):
        running = [one for one in descendants() if runs(one)]
        if not running:
            break
        end(running)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
