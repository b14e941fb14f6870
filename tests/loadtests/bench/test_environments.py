import sys

import pytest

from loadtests.bench import environments
from loadtests.bench.environments import LISTS, environment, requirements
from loadtests.bench.errors import BenchError

NAMES = sorted(file.stem for file in LISTS.glob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_pinned_with_torch_first_and_no_gpu_builds(name):
    pins = requirements(name)
    assert pins[0].startswith("torch==")
    assert not [pin for pin in pins if pin.startswith(("nvidia", "triton")) or "+" in pin]


@pytest.mark.parametrize("text", ["numpy==1\ntorch==2\n", "torch==2\nnumpy\n", "# nothing\n"])
def test_a_list_that_is_not_pinned_is_refused(tmp_path, text):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(BenchError, match=r"bad\.txt"):
        requirements("bad", tmp_path)


def test_an_unknown_list_names_those_there_are():
    with pytest.raises(BenchError, match="infinity-onnx, infinity-torch, sentence-transformers"):
        requirements("none")


def test_an_environment_is_made_once(tmp_path):
    commands = []

    def run(command, log):
        commands.append(command)
        log.write_text("said")

        if "venv" in command:
            (tmp_path / command[-1]).mkdir(parents=True)

    programs = environment("infinity-torch", tmp_path, run)
    assert [command[1:3] for command in commands] == [["-m", "venv"]] + [["-m", "pip"]] * 2
    assert commands[0][0] == sys.executable
    assert commands[1][-1] == requirements("infinity-torch")[0]
    assert commands[2][-1] == requirements("infinity-torch")[-1]
    assert environment("infinity-torch", tmp_path, run) == programs
    assert len(commands) == 3


def test_an_environment_that_failed_is_made_anew(tmp_path):
    calls = []

    def fail(command, log):
        calls.append(command)
        raise BenchError(f"see {log}")

    for _ in range(2):
        with pytest.raises(BenchError, match="see"):
            environment("infinity-torch", tmp_path, fail)
    assert len(calls) == 2


def test_a_failed_command_names_its_log(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(BenchError, match=str(log)):
        environments._run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], log)
    assert log.read_text() == "why\n"


def test_a_command_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "INSTALL_S", 0.2)
    with pytest.raises(BenchError, match=r"took over 0\.2 s"):
        environments._run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
