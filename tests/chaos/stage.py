"""A real service with failpoints on, and its processes by name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from service.cli.child_service import HOST, ChildService
from service.deployments.address import claim_port

MODEL: Final = "infini"
FEW_STATES_BYTES: Final = 1_300_000
"""Room for four states of `MODEL`, so that sessions come and go from memory all the time."""


class Stage:
    """A service of one model.

    Attributes:
        folder: Everything it writes.
        failpoints: Where orders go.
        url: Where it answers.
    """

    def __init__(self, folder: Path, service: ChildService) -> None:
        self.folder = folder
        self.failpoints = folder / "failpoints"
        self.url = service.url
        self._service = service

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Return the living processes of a deployment; Ray writes its name into their title."""
        title = re.compile(rf"ray::ServeReplica:longstream:{re.escape(deployment)}(?![\w-])")
        found = []
        for process in psutil.Process(self._service.process.pid).children(recursive=True):
            try:
                if title.match(" ".join(process.cmdline())):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    @property
    def alive(self) -> bool:
        """Whether the service still runs."""
        return self._service.process.poll() is None


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
        yield Stage(folder, service)
    finally:
        service.stop()
