"""One directory per running service for Ray's files, and the removal of what dead ones left.

It is in the system's temporary directory, or in `/tmp` if that one's path is too long: Ray puts Unix sockets
into it, whose paths the kernel limits. It holds `lock`, held by the service's processes for as long as one of
them lives, and `processes.json`, which names the processes that were started.
"""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from service.deployments.processes import ProcessId, end
from service.errors import ConfigError

LOCK = "lock"
RECORD = "processes.json"
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket."""
LONGEST_SOCKET = "/12345678/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest of Ray's sockets, below the directory of all runs: a run, a session, the process id at its longest."""


class Run:
    """The directory of one running service; `close` removes it.

    Args:
        directory: Its directory, new and empty.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = hold(directory)
        self._recorded: frozenset[ProcessId] = frozenset()

    @classmethod
    def begin(cls, root: Path | None = None) -> "Run":
        """End what dead runs left behind, then open a directory for a new one.

        Args:
            root: Where the runs of this user are; default: `runs_root()`.

        Raises:
            ConfigError: the directory cannot be used.
        """
        root = root or runs_root()
        try:
            _make_private(root)
            with (root / LOCK).open("w") as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                for leftover in _dead_runs(root):
                    sweep(leftover)
                return cls(Path(tempfile.mkdtemp(dir=root, prefix="")))
        except OSError as error:
            raise ConfigError(f"cannot use the run directory {root}: {error}") from error

    def record(self, processes: frozenset[ProcessId]) -> None:
        """Note the processes of this run; cheap if nothing changed."""
        if processes == self._recorded:
            return
        text = json.dumps([asdict(process) for process in processes])
        # Replaced as a whole: whoever reads it after a crash finds the old list or the new one.
        draft = self.directory / f"{RECORD}.new"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.directory / RECORD)
        self._recorded = processes

    def close(self) -> None:
        """Remove the directory; the processes are ended by now."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()


def runs_root() -> Path:
    """Return the directory of all runs of this user."""
    name = f"longstream-{os.getuid()}"
    root = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(f"{root}{LONGEST_SOCKET}")) <= SOCKET_PATH_BYTES:
        return root
    return Path("/tmp") / name  # noqa: S108 - private once `_make_private` has seen it


def hold(directory: Path) -> IO[str]:
    """Mark a run as alive until the returned file is closed or this process ends."""
    lock = (directory / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def sweep(directory: Path) -> None:
    """End the processes a dead run recorded, exactly those, and remove its directory."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        recorded = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        end(ProcessId(**entry) for entry in recorded)
    shutil.rmtree(directory, ignore_errors=True)


def _dead_runs(root: Path) -> Iterator[Path]:
    for directory in root.iterdir():
        if not directory.is_dir():
            continue
        with (directory / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield directory


def _make_private(root: Path) -> None:
    """Create the directory for this user only, and refuse one that someone else put there."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{root} belongs to another user")
    if status.st_mode & 0o077:
        root.chmod(0o700)
