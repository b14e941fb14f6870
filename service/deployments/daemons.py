"""A watch over the daemons of the Ray that this process started.

Ray does not end a driver whose cluster is gone: its calls wait for an answer for minutes, and nothing says so.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

import psutil

from service.deployments.processes import ProcessId, runs

VITAL = frozenset({"gcs_server", "raylet"})
"""Executables without which there is no cluster; the others only watch and log."""
LOOK_SECONDS = 1.0


def vital_daemons() -> Mapping[ProcessId, str]:
    """Return the executables' names of Ray's vital daemons, which are children of this process.

    Raises:
        RuntimeError: Ray has not started them.
    """
    found: dict[ProcessId, str] = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.name() in VITAL:
                found[ProcessId(child.pid, child.create_time())] = child.name()
    missing = VITAL.difference(found.values())
    if missing:
        raise RuntimeError(f"Ray has not started its {' and '.join(sorted(missing))}")
    return found


@contextlib.contextmanager
def watched(daemons: Mapping[ProcessId, str], ended: Callable[[str], None]) -> Iterator[None]:
    """Look after daemons while the block runs, from a thread: the block itself may wait for a dead one.

    Args:
        daemons: Names of the processes.
        ended: Called once, in that thread, with the name of the first that has ended.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            for daemon, name in daemons.items():
                if not runs(daemon):
                    ended(name)
                    return

    thread = threading.Thread(target=watch, name="daemon-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # From here on they may end: a look that has begun must be over.
        thread.join()
