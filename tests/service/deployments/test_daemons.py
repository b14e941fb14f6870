import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from service.deployments.daemons import vital_daemons, watched
from service.deployments.processes import ProcessId


@pytest.fixture
def daemon() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    return ProcessId(process.pid, psutil.Process(process.pid).create_time())


def test_a_daemon_that_ends_is_noticed_though_nobody_waits_for_it(
    daemon: subprocess.Popen[bytes],
) -> None:
    told: list[str] = []
    noticed = threading.Event()

    def ended(name: str) -> None:
        told.append(name)
        noticed.set()

    daemons = {ProcessId(os.getpid(), psutil.Process().create_time()): "self"}
    with watched(daemons | {identity(daemon): "raylet"}, ended):
        # By signal: `Popen.kill` would also take the zombie away.
        os.kill(daemon.pid, signal.SIGKILL)
        assert noticed.wait(5)
    assert told == ["raylet"]


def test_daemons_may_end_after_the_watch(daemon: subprocess.Popen[bytes]) -> None:
    told: list[str] = []
    with watched({identity(daemon): "raylet"}, told.append):
        pass
    daemon.kill()
    assert "daemon-watch" not in {thread.name for thread in threading.enumerate()}
    assert told == []


def test_a_ray_without_its_daemons_is_no_ray() -> None:
    with pytest.raises(RuntimeError, match="gcs_server and raylet"):
        vital_daemons()
