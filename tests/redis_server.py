"""A real Redis server for tests: started on a free loopback port in a folder of its own, stopped by its process id."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

import pytest
import redis

BINARY: Final = shutil.which("redis-server") or shutil.which("valkey-server")
START_SECONDS: Final = 20.0
SAFE: Final = {"appendonly": "yes", "appendfsync": "always", "save": ""}
"""What makes an acknowledged write a durable one."""


class RedisProcess:
    """A server; use it as a context manager.

    Args:
        folder: For its log, its data and its socket; made if it is missing.
        settings: As in its configuration file, over `SAFE`.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._settings = SAFE | {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(folder),
            "logfile": str(folder / "redis.log"),
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        if BINARY is None:
            pytest.skip("there is no redis-server on this machine")
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [text for name, value in self._settings.items() for text in (f"--{name}", value)]
        self.process = subprocess.Popen([str(BINARY), *options])
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except redis.exceptions.RedisError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()

    def pause(self) -> None:
        """Let it answer nothing, with all connections open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """Return a client to look and meddle with."""
        return redis.Redis(port=self.port, protocol=2)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
