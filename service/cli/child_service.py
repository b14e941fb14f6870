"""The service as a child process, for commands that need one of their own."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

from service.client import LongstreamClient
from service.config import client_api_key
from service.errors import ConfigError

HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 180.0
STOP_SECONDS: Final = 60.0


class ChildService:
    """`longstream serve` with its output in a file; in a session of its own, so that Ctrl-C does not reach it.

    Args:
        process: The service.
        url: Where it answers.
        ready_s: Seconds it took to become ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url
        self.ready_s = 0.0

    @classmethod
    def start(
        cls,
        port: int,
        log: Path,
        data_dir: Path | None = None,
        models: str | None = None,
        config: Path | None = None,
    ) -> Self:
        """Start the service and wait until it is ready.

        Args:
            port: Free port of the loopback interface.
            log: File its output is appended to.
            data_dir: Where its sessions are; None leaves that to the configuration.
            models: Ids of the models it serves, separated by commas; None leaves that to the configuration.
            config: Its configuration file, if it has one.

        Raises:
            ConfigError: it ended or did not become ready; the message holds its last lines.
        """
        command = [sys.executable, "-P", "-m", "service.cli", "serve"]
        command += ["--host", HOST, "--port", str(port)]
        command += ["--data-dir", str(data_dir)] if data_dir else []
        command += ["--models", models] if models else []
        command += ["--config", str(config)] if config else []
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        service = cls(process, f"http://{HOST}:{port}")
        try:
            service._wait(log)
        except BaseException:
            service.stop()
            raise
        return service

    def _wait(self, log: Path) -> None:
        begun = time.monotonic()
        with LongstreamClient(self.url, client_api_key()) as client:
            while self.process.poll() is None and time.monotonic() - begun < READY_SECONDS:
                if client.ready():
                    self.ready_s = time.monotonic() - begun
                    return
                time.sleep(0.1)
        tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
        raise ConfigError(f"the service did not become ready; its log {log} ends with\n{tail}")

    def stop(self) -> None:
        """Ask the service to stop, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
