"""The service as a child process, for commands that need one of their own."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from service.client import LongstreamClient
from service.config import load_config
from service.errors import ConfigError

READY_SECONDS: Final = 180.0
STOP_SECONDS: Final = 60.0


class RunningService:
    """`longstream serve` on a free port, with its log in a file.

    Args:
        process: The service.
        url: Where it answers.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process = process
        self.url = url

    @property
    def pid(self) -> int:
        """Process to send SIGTERM to."""
        return self._process.pid

    @classmethod
    def start(cls, say: Callable[[str], None]) -> Self:
        """Start the service and wait until it is ready.

        Raises:
            ConfigError: it ended or did not become ready; the message holds its last lines.
        """
        port = _free_port(load_config().port)
        command = [sys.executable, "-P", "-m", "service.cli", "serve", "--port", str(port)]
        with tempfile.NamedTemporaryFile(
            prefix="longstream-", suffix=".log", delete=False
        ) as output:
            log = Path(output.name)
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        service = cls(process, f"http://127.0.0.1:{port}")
        say(f"starting the service, its log is {log}")
        try:
            seconds = service._wait(log)
        except BaseException:
            service.stop()
            raise
        say(f"ready after {seconds:.0f} s at {service.url}")
        return service

    def _wait(self, log: Path) -> float:
        begun = time.monotonic()
        with LongstreamClient(self.url) as client:
            while time.monotonic() - begun < READY_SECONDS:
                if client.ready():
                    return time.monotonic() - begun
                if self._process.poll() is not None:
                    break
                time.sleep(0.2)
        tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
        raise ConfigError(f"the service did not become ready:\n{tail}")

    def stop(self) -> None:
        """Ask the service to stop, and wait until it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _free_port(wanted: int) -> int:
    """Return the wanted port, or any other if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigError("no free port on 127.0.0.1")
