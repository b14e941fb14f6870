import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.deployments.processes import ProcessId
from service.deployments.runs import RECORD, Run, hold, runs_root
from service.errors import ConfigError


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def identity(process: subprocess.Popen[bytes], started_before: float = 0.0) -> ProcessId:
    return ProcessId(process.pid, psutil.Process(process.pid).create_time() - started_before)


def abandon(root: Path, *processes: ProcessId) -> Path:
    """Leave a run behind as kill -9 does: its record is there, its lock is not held."""
    run = Run.begin(root)
    run.record(frozenset(processes))
    run._lock.close()
    return run.directory


def test_a_closed_run_leaves_nothing(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "runs")
    assert run.directory.is_dir()
    run.close()
    assert not run.directory.exists()


def test_the_next_run_ends_what_a_dead_one_left(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    leftover = identity(sleeper)
    dead = abandon(tmp_path, leftover)
    Run.begin(tmp_path).close()
    assert leftover.find() is None
    assert not dead.exists()


def test_a_process_that_only_has_the_same_number_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    dead = abandon(tmp_path, identity(sleeper, started_before=1.0))
    Run.begin(tmp_path).close()
    assert sleeper.poll() is None
    assert not dead.exists()


def test_a_run_that_lives_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    first = Run.begin(tmp_path)
    first.record(frozenset({identity(sleeper)}))
    second = Run.begin(tmp_path)
    assert sleeper.poll() is None
    assert first.directory.exists()
    first.close()
    second.close()


def test_a_driver_that_outlives_its_supervisor_keeps_the_run(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    run = Run.begin(tmp_path)
    run.record(frozenset({identity(sleeper)}))
    with hold(run.directory):
        run._lock.close()
        Run.begin(tmp_path).close()
        assert sleeper.poll() is None
        assert run.directory.exists()


@pytest.mark.parametrize("record", ["", "[", '{"pid": 1}', '[{"pid": "x"}]', "[1]"])
def test_a_broken_record_ends_nobody_and_goes(tmp_path: Path, record: str) -> None:
    dead = abandon(tmp_path)
    (dead / RECORD).write_text(record)
    Run.begin(tmp_path).close()
    assert not dead.exists()


def test_the_record_follows_the_processes(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    run = Run.begin(tmp_path)
    run.record(frozenset({identity(sleeper)}))
    run.record(frozenset())
    assert json.loads((run.directory / RECORD).read_text()) == []
    run.close()


def test_the_directory_is_private(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    run = Run.begin(root)
    assert root.stat().st_mode & 0o777 == 0o700
    assert run.directory.stat().st_mode & 0o777 == 0o700
    run.close()


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="belongs to another user"):
        Run.begin(tmp_path / "runs")


@pytest.mark.parametrize("bytes_too_long", [0, 1])
def test_a_temporary_directory_too_long_for_rays_sockets_is_not_used(
    monkeypatch: pytest.MonkeyPatch, bytes_too_long: int
) -> None:
    name = f"/longstream-{os.getuid()}"
    socket = "/12345678/session_2026-07-02_17-52-31_123456_4194304/sockets/plasma_store"
    room = 107 - len(name) - len(socket) + bytes_too_long
    temporary = "/" + "t" * (room - 1)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: temporary)
    expected = "/tmp" if bytes_too_long else temporary  # noqa: S108 - the documented place
    assert runs_root() == Path(expected + name)
