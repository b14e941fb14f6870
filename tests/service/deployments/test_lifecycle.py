"""How the service starts and ends: in order, by force, and when it cannot."""

import concurrent.futures
import contextlib
import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from os import getuid
from pathlib import Path

import httpx
import psutil
import pytest

from service.deployments.runs import Run
from tests.running import LONGSTREAM, RunningService, alive, eventually

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

ONE_MODEL = "models: [{id: infini, attention: infini}]\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(ONE_MODEL)
    return file


@pytest.fixture
def running(tmp_path: Path, config: Path) -> Iterator[RunningService]:
    service = RunningService.start(tmp_path, "--config", str(config))
    yield service
    service.stop()


def run_directory(service: RunningService) -> Path:
    """Return the directory of this run; other services may run beside it."""
    pids = {process.pid for process in service.processes()}
    records = (Path(tempfile.gettempdir()) / f"longstream-{getuid()}").glob("*/processes.json")
    [own] = [r for r in records if pids & {entry["pid"] for entry in json.loads(r.read_text())}]
    return own.parent


@contextlib.contextmanager
def unfinished_request(service: RunningService) -> Iterator[None]:
    """Hold a request open whose body never comes: an orderly stop waits for it as long as it may."""
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        # The gateway must have read it before the service is told to stop.
        with service.client() as http:
            assert http.get("/health/live").status_code == 200
        yield


def test_sigterm_finishes_running_requests_and_leaves_nothing(tmp_path: Path, config: Path) -> None:
    running = RunningService.start(tmp_path, "--config", str(config))
    processes = running.processes()
    assert len(processes) > 8
    directory = run_directory(running)
    texts = ["The quick brown fox jumps over the lazy dog. " * 40] * 64
    with concurrent.futures.ThreadPoolExecutor(1) as pool, running.client() as http:
        body = {"model": "infini", "input": texts}
        embedding = pool.submit(http.post, "/v1/embeddings", json=body)
        eventually(lambda: bool(embedding.running()), 5)
        with pytest.raises(concurrent.futures.TimeoutError):
            embedding.result(timeout=0.5)
        assert running.stop() == 0
        assert embedding.result(timeout=1).status_code == 200
    assert alive(processes) == []
    assert not directory.exists()
    assert "longstream: stopped" in running.said()


def test_kill_9_leaves_nothing_within_seconds(running: RunningService) -> None:
    processes = running.processes()
    running.process.kill()
    running.process.wait(timeout=10)
    eventually(lambda: alive(processes) == [], 20)


def test_what_kill_9_of_everything_leaves_is_ended_by_the_next_start(
    running: RunningService, tmp_path: Path
) -> None:
    # The record is written every two seconds; all of Ray's own processes are older than that by now.
    processes = running.processes()
    eventually(lambda: all(not psutil.pid_exists(p.pid) or p.find() for p in processes), 1)
    driver = psutil.Process(running.process.pid).children()[0]
    running.process.kill()
    driver.kill()
    running.process.wait(timeout=10)
    eventually(lambda: not driver.is_running(), 10)
    assert alive(processes), "nothing was left behind, so this test shows nothing"
    Run.begin().close()
    eventually(lambda: alive(processes) == [], 10)


def test_a_driver_that_dies_ends_the_command_with_an_error(running: RunningService) -> None:
    processes = running.processes()
    psutil.Process(running.process.pid).children()[0].kill()
    assert running.process.wait(timeout=20) == 1
    assert "ended by signal 9" in running.said()
    assert alive(processes) == []


def test_a_ray_that_dies_ends_the_command_with_an_error(running: RunningService) -> None:
    processes = running.processes()
    [victim] = [
        one
        for one in psutil.Process(running.process.pid).children(recursive=True)
        if one.name() == "raylet"
    ]
    victim.kill()
    assert running.process.wait(timeout=10) == 1
    assert running.said().count("longstream: broke down: Ray's raylet has ended\n") == 1
    assert alive(processes) == []


def test_weights_that_are_not_there_are_one_line_and_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"data_dir: {tmp_path / 'data'}\nport: 0\n"
        f"models: [{{id: infini, attention: infini, weights: {tmp_path / 'nothing'}}}]\n"
    )
    ended = subprocess.run(
        [*LONGSTREAM, "serve", "--config", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    said = [line for line in ended.stdout.splitlines() if line.startswith("longstream:")]
    (line,) = [line for line in said if "cannot start" in line]
    assert str(tmp_path / "nothing") in line
    assert said[-1] == line


def test_a_second_ctrl_c_ends_it_at_once(running: RunningService) -> None:
    processes = running.processes()
    with unfinished_request(running):
        running.process.send_signal(signal.SIGINT)
        eventually(lambda: "finishing running requests" in running.said(), 5)
        # An idle service would be gone by now.
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(timeout=6)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(timeout=6) == 1
    assert alive(processes) == []
