"""The demo and the load tests, for real but on little text."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from loadtests import book, crashes, passkey
from service.cli import app
from service.cli.demo_reading import replica_bytes
from tests.running import RunningService, eventually
from tests.texts import SENTENCES

TEXT = "\n\n".join(SENTENCES * 12)


def demo_command(folder: Path, *options: str) -> list[str]:
    (folder / "book.txt").write_text(TEXT, "utf-8")
    return [sys.executable, "-P", "-m", "service.cli", "demo", "--book", "book.txt", *options]


@pytest.mark.parametrize("content", [b"\xff", b" \n"])
def test_a_book_that_cannot_be_read_is_a_usage_error(tmp_path: Path, content: bytes):
    file = tmp_path / "book.txt"
    file.write_bytes(content)
    result = CliRunner().invoke(app, ["demo", "--book", str(file)])
    assert result.exit_code == 2
    assert "UTF-8" in result.output or "empty" in result.output


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_the_demo_reads_answers_and_leaves_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LONGSTREAM_DATA_DIR", str(tmp_path / "data"))
    command = demo_command(tmp_path, "--question", "Where did the train go?")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "state at the end" in result.stdout
    assert "155,216 bytes" in result.stdout
    assert "nearest to: Where did the train go?" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_a_demo_that_is_terminated_takes_its_service_along(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LONGSTREAM_DATA_DIR", str(tmp_path / "data"))
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(demo_command(tmp_path), cwd=tmp_path, stdout=output)
    family: list[psutil.Process] = []
    for _ in range(100):
        family = psutil.Process(process.pid).children(recursive=True)
        if len(family) > 3:
            break
        time.sleep(0.1)
    assert len(family) > 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    eventually(lambda: not any(one.is_running() for one in family), 20)


def test_a_replica_is_not_taken_for_one_whose_models_name_begins_alike():
    name = "longstream_process_resident_memory_bytes"
    replicas = {"encoder-infini-plus-ab12cd34": 7, "encoder-infini-ef56ab78": 5}
    lines = [f'{name}{{replica="{replica}"}} {size}.0' for replica, size in replicas.items()]
    exposition = "\n".join([f"# TYPE {name} gauge", *lines, ""])
    assert replica_bytes(exposition, "infini") == 5
    assert replica_bytes(exposition, "infini-plus") == 7


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_the_book_load_test_reports(service: RunningService, monkeypatch, capsys):
    monkeypatch.setattr(book, "EDGE", 5)
    monkeypatch.setattr(book, "GROWTH", 2)  # so few chunks are all warm-up
    book.main(url=service.url, share=0.006)
    report = json.loads(capsys.readouterr().out)
    assert report["chunks"] == 20
    assert report["state_bytes"] == [155_216]
    assert report["resident_mib"][-1] > 100


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_the_passkey_load_test_reports(service: RunningService, capsys):
    passkey.main(url=service.url, tokens=4000, sessions=1)
    report = json.loads(capsys.readouterr().out)
    assert 3000 < report["tokens"][0] == report["tokens"][1] < 6000
    assert len(report["state_bytes"]) == 1
    assert report["state_bytes"][0] > 416_804  # the memory, and a header
    assert report["all"]["of"] == report["made_up"]["of"] == report["after_reset"]["of"] == 16
    assert sum(report[depth]["count"] for depth in passkey.DEPTHS) == report["all"]["count"] >= 12
    assert report["made_up"]["count"] <= 8
    assert report["after_reset"]["count"] == 0


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_crash_in_the_middle_of_a_book_loses_nothing(capsys):
    crashes.main(kills=1, chunks=30, seed=5)
    report = json.loads(capsys.readouterr().out)
    assert (report["missing"], report["double"]) == (0, 0)
    assert report["max_difference"] <= 1e-5
    assert report["processes_killed"] > 8
