import sys

import httpx
import psutil
import pytest

from loadtests.bench.errors import BenchError
from loadtests.bench.servers import Server
from tests.loadtests.bench.conftest import fake

SLEEP = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"


def test_a_server_starts_answers_and_leaves_nothing(tmp_path):
    launch = fake("fake")
    log = tmp_path / "log"
    server = Server.start("fake", launch.command, launch.variables, log)
    try:
        server.wait("/health", log)
        assert server.ready_s > 0
        assert server.resident_bytes() > 2**20
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
    finally:
        server.stop()
    assert not psutil.pid_exists(server.process.pid)


def test_what_a_server_started_ends_with_it(tmp_path):
    server = Server.start("parent", [sys.executable, "-c", PARENT], {}, tmp_path / "log")
    children: list[psutil.Process] = []
    while not children:
        children = psutil.Process(server.process.pid).children()
    server.stop()
    psutil.wait_procs(children, timeout=5)
    assert not [one for one in children if one.is_running()]


def test_a_server_that_ends_is_reported_with_its_last_words(tmp_path):
    log = tmp_path / "log"
    server = Server.start("broken", [sys.executable, "-c", "raise SystemExit('why')"], {}, log)
    with pytest.raises(BenchError, match="why"):
        server.wait("/health", log)
    server.stop()


def test_a_server_that_never_answers_is_given_up(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLEEP]
    server = Server.start("silent", command, {"A": "b"}, log)
    try:
        with pytest.raises(BenchError, match="silent did not become ready"):
            server.wait("/health", log, ready_s=0.3)
    finally:
        server.stop()
    assert server.process.returncode is not None
