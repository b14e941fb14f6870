"""One directory per running service for Ray's files, and the removal of what dead ones left.

The directory is short and under the system's temporary directory: Ray puts Unix sockets into it, whose
paths may have 107 characters. It holds `lock`, held by the service's processes for as long as one of
them lives, and `processes.json`, which names the processes that were started.
"""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from service.deployments.processes import ProcessId, end
from service.errors import ConfigError

LOCK = "lock"
RECORD = "processes.json"


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
            root: Where the runs of this user are; default: in the system's temporary directory.

        Raises:
            ConfigError: the directory cannot be used.
        """
        root = root or Path(tempfile.gettempdir()) / f"longstream-{os.getuid()}"
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
