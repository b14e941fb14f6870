"""A real service with failpoints on."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from service.cli.child_service import HOST, ChildService
from service.deployments.address import claim_port
from service.sessions.stores import SQLITE_FILE

MODEL: Final = "infini"
FEW_STATES_BYTES: Final = 1_300_000
"""Room for four states of `MODEL`, so that sessions come and go from memory all the time."""


@dataclass(frozen=True)
class Stage:
    """A service that follows orders in `failpoints`.

    Attributes:
        folder: Everything it writes.
        url: Where it answers.
        process: Its foreground process.
    """

    folder: Path
    url: str
    process: subprocess.Popen[bytes]

    @property
    def failpoints(self) -> Path:
        """Where orders go."""
        return self.folder / "failpoints"

    @property
    def store(self) -> Path:
        """Its sessions, unless they are somewhere else than in a file."""
        return self.folder / "data" / SQLITE_FILE

    @property
    def alive(self) -> bool:
        """Whether the service still runs."""
        return self.process.poll() is None


@contextmanager
def stage(folder: Path, **changes: Any) -> Iterator[Stage]:
    """Start a service and stop it in the end.

    Args:
        folder: An empty one.
        changes: Top-level keys of its configuration, over those of the harness.
    """
    (folder / "failpoints").mkdir()
    config = {
        "models": [{"id": MODEL, "attention": MODEL}],
        "engine": {"threads": 1},
        "sessions": {"hot_bytes": FEW_STATES_BYTES},
        "failpoints": str(folder / "failpoints"),
        "log_level": "error",
        **changes,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    claim, port = claim_port(HOST, 0)
    claim.close()
    service = ChildService.start(port, folder / "service.log", folder / "data", config=file)
    try:
        yield Stage(folder, service.url, service.process)
    finally:
        service.stop()
