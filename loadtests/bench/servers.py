"""Servers as child processes: started on a free loopback port, awaited, stopped by their process ids."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from loadtests.bench.errors import BenchError

HOST: Final = "127.0.0.1"
READY_S: Final = 300.0
STOP_S: Final = 60.0
_POLL_S: Final = 0.05
_OK: Final = 300


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server.

    Attributes:
        name: What reports call it.
        url: Where it answers.
        process: Its foremost process.
        begun_s: When it was started, on the clock of `time.perf_counter`.
        ready_s: Seconds until it was ready.
    """

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.url = f"http://{HOST}:{port}"
        self.process = process
        self.begun_s = time.perf_counter()
        self.ready_s = 0.0

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
    ) -> Self:
        """Start a server; its command has `{port}` where the port belongs.

        Args:
            name: What reports call it.
            command: Program and arguments.
            variables: Added to its environment.
            log: File that its output goes to.
            folder: Where it runs; None for where this process runs.
        """
        port = free_port()
        filled = [part.replace("{port}", str(port)) for part in command]
        # `env` adds to what this process was given, which nothing here needs to read.
        assignments = [f"{key}={value}" for key, value in variables.items()]
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["/usr/bin/env", *assignments, *filled],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,  # Ctrl-C reaches the benchmark only, which then stops it
            )
        return cls(name, port, process)

    def wait(self, path: str, log: Path, ready_s: float = READY_S) -> None:
        """Wait until a path answers with success.

        Raises:
            BenchError: it ended or did not become ready; the message holds its last lines.
        """
        with httpx.Client(base_url=self.url, timeout=5.0, trust_env=False) as http:
            while self.process.poll() is None and time.perf_counter() - self.begun_s < ready_s:
                with contextlib.suppress(httpx.HTTPError):
                    if http.get(path).status_code < _OK:
                        self.ready_s = time.perf_counter() - self.begun_s
                        return
                time.sleep(_POLL_S)
        tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
        raise BenchError(f"{self.name} did not become ready; {log} ends with\n{tail}")

    def resident_bytes(self) -> int:
        """Return the memory of its processes together; what they share counts once for each."""
        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def stop(self) -> None:
        """Ask it to end, and end what is left of its own processes."""
        family = self._family()
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil knows a process by its start too: a reused id is not touched

    def _family(self) -> list[psutil.Process]:
        try:
            foremost = psutil.Process(self.process.pid)
            return [foremost, *foremost.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
