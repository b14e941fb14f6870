"""Room on the disk that is given back when there is no other, so that deleting works where storing does not."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 24 * 1024**2
"""What the journal may hold when the disk is full, 1000 pages of 16 KiB, has to find room in the database, and what a
deletion adds to it. From then on deletions write where others have written."""
_LEAST: Final = 256 * 1024


class Reserve:
    """A file of zeros beside a database; processes that share the database share it too.

    Args:
        database: The file it stands beside.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.reserve")

    def keep(self) -> None:
        """Take the room, or as much of it as there is; does nothing where it is taken."""
        if self._path.exists() or not hasattr(os, "posix_fallocate"):
            return
        size = RESERVE_BYTES
        while size >= _LEAST:
            try:
                descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, size)
                finally:
                    os.close(descriptor)
            except OSError:
                self.spend()
                size //= 2
            else:
                return

    def spend(self) -> None:
        """Give the room back."""
        with suppress(OSError):
            self._path.unlink()
