"""`longstream serve` as a child process, the way a user runs it."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import psutil

from service.deployments.address import base_url, claim_port
from service.deployments.processes import ProcessId

READY_SECONDS = 120.0
LONGSTREAM = [sys.executable, "-P", "-m", "service.cli"]


@dataclass
class RunningService:
    """A service that is ready.

    Attributes:
        url: Where it answers.
        data_dir: Its sessions.
        log: All it has said.
        process: The `longstream serve` process.
    """

    url: str
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, *options: str, data_dir: Path | None = None) -> Self:
        """Start a service on a free port and wait until it says that it is ready."""
        folder.mkdir(parents=True, exist_ok=True)
        data_dir = data_dir or folder / "data"
        claim, port = claim_port("127.0.0.1", 0)
        claim.close()
        log = folder / "service.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*LONGSTREAM, "serve", "--port", str(port), "--data-dir", str(data_dir), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        service = cls(base_url("127.0.0.1", port), data_dir, log, process)
        try:
            eventually(lambda: service.is_ready() or process.poll() is not None, READY_SECONDS)
            assert process.poll() is None, service.said()
        except BaseException:
            service.stop()
            raise
        return service

    def is_ready(self) -> bool:
        return "longstream: ready after" in self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def processes(self) -> frozenset[ProcessId]:
        """Return every process of the service, the foreground one included."""
        foreground = psutil.Process(self.process.pid)
        family = [foreground, *foreground.children(recursive=True)]
        return frozenset(ProcessId(one.pid, one.create_time()) for one in family)

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Return the processes of a deployment; Ray writes its name into their title."""
        # Not the beginning of another deployment's name, nor a method that runs.
        title = re.compile(rf"ray::ServeReplica:longstream:{re.escape(deployment)}(?![\w-])")
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in family if title.match(" ".join(one.cmdline()))]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    def stop(self) -> int:
        """Ask the service to stop and wait until it has; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.1)


def alive(processes: frozenset[ProcessId]) -> list[str]:
    """Return the titles of those that still run; a zombie does not."""
    titles = []
    for one in processes:
        # It may end, or become a zombie, between any two of these questions.
        with contextlib.suppress(psutil.Error):
            process = one.find()
            if process is not None and process.status() != psutil.STATUS_ZOMBIE:
                titles.append(" ".join(process.cmdline()))
    return titles
