"""`longstream evaluate` in this process, on the real checkpoint and a handful of texts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from service.cli.evaluate import _choose, evaluate
from service.config_models import ModelConfig
from service.errors import ConfigError

DATA = Path(__file__).parents[2] / "data" / "evaluate"
ROOT = Path(__file__).parents[3]


def invoke(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """Return why a command line was refused."""
    result = invoke(*arguments)
    assert isinstance(result.exception, ConfigError), result.output
    assert result.stdout == ""
    return str(result.exception)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_command_gives_three_files_and_a_table(here: Path):
    pytest.importorskip("matplotlib")
    result = invoke("--data", DATA, "--sets", "garden", "--models", "multi-head,infini")
    assert result.exit_code == 0, result.output
    text = Path("evaluation/report.md").read_text()
    assert result.stdout == text
    assert "| `infini` |" in text
    assert f"longstream evaluate --data {DATA} --sets garden --split dev" in text
    assert "longstream: infini: reading" in result.stderr
    assert Path("evaluation/report.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads(Path("evaluation/report.json").read_text())
    assert report["command"]["sets"] == "garden"
    assert report["teacher"] == "multi-head"
    assert list(report["differences"]["multi-head"]) == ["infini"]
    assert report["rows"][0]["figures"]["garden"]["ndcg@10"]["value"] > 0.9
    assert report["rows"][1]["memory_bytes"] == 152_064
    assert report["speed"]["ratios"]["infini"]["median"] > 0


def test_the_same_command_gives_the_same_bytes(here: Path):
    pytest.importorskip("matplotlib")
    options = ["--data", DATA, "--sets", "garden", "--limit-docs", 3, "--seed", 5, "--no-speed"]
    options += ["--models", "multi-head,infini"]
    for out in ("one", "other"):
        assert invoke(*options, "--out", out).exit_code == 0
    for name in ("report.json", "report.md", "report.png"):
        assert (here / "one" / name).read_bytes() == (here / "other" / name).read_bytes()
    report = json.loads((here / "one" / "report.json").read_text())
    assert report["speed"] is None
    assert report["resampling"]["seed"] == 5
    assert [source["counts"].get("documents") for source in report["sources"]] == [None, 3]


def test_the_teacher_is_read_though_nobody_asked(here: Path):
    pytest.importorskip("matplotlib")
    folder = shutil.copytree(DATA / "garden" / "dev", here / "mine")
    threads = torch.get_num_threads()
    try:
        result = invoke(
            *("--sets", folder, "--models", "infini", "--baseline", "infini,multi-head"),
            *("--no-speed", "--threads", 1),
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    report = json.loads(Path("evaluation/report.json").read_text())
    assert [row["id"] for row in report["rows"]] == ["multi-head", "infini"]
    assert list(report["differences"]) == ["infini", "multi-head"]
    assert [source["name"] for source in report["sources"]] == [str(folder)]


def test_a_teacher_that_is_not_configured_is_made(here: Path):
    pytest.importorskip("matplotlib")
    Path("config.yaml").write_text("models: [{id: mine, attention: infini}]\n")
    options = ["--data", DATA, "--sets", "", "--config", "config.yaml", "--no-speed"]
    assert invoke(*options).exit_code == 0
    report = json.loads(Path("evaluation/report.json").read_text())
    assert [row["id"] for row in report["rows"]] == ["multi-head", "mine"]
    assert list(report["rows"][0]["figures"]) == ["stsb"]


@pytest.mark.parametrize(("adapter", "is_teacher"), [("none", True), ("./mine.file", False)])
def test_the_teacher_has_no_adapter_of_its_own(adapter: str, is_teacher: bool):  # noqa: FBT001
    mine = ModelConfig(id="mine", attention="multi-head", adapter=adapter)
    chosen, teacher = _choose([ModelConfig(id="infini", attention="infini"), mine], [])
    assert teacher == ("mine" if is_teacher else "multi-head")
    assert [model.id for model in chosen][-2:] == ["infini", "mine"]
    assert len(chosen) == (2 if is_teacher else 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--models", "multi-head,none"], "unknown model none; known: multi-head, "),
        (["--models", "multi-head", "--baseline", "infini"], "unknown model infini; known: multi"),
        (["--sets", "nowhere"], "nowhere/dev/docs.jsonl: cannot be read: No such file"),
        (["--split", "test", "--sets", ""], "stsb/en_test.jsonl: cannot be read"),
        (["--sts", "nowhere.jsonl"], "nowhere.jsonl: cannot be read: No such file"),
        (["--sets", "garden,garden"], "more than once: garden"),
        (["--out", "file/out"], "--out file"),
        (["--config", "nowhere.yaml"], "cannot read nowhere.yaml"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(here: Path, options: list[str], says: str):
    pytest.importorskip("matplotlib")
    Path("file").touch()
    assert says in refused("--data", DATA, "--sets", "garden", *options)


def test_without_data_there_is_nothing_to_read(here: Path):
    pytest.importorskip("matplotlib")
    assert "'squad_dev' is a name, and there is no folder" in refused()
    assert "nothing to evaluate on" in refused("--sets", "")


def test_a_line_that_does_not_fit_is_named(here: Path):
    pytest.importorskip("matplotlib")
    folder = shutil.copytree(DATA / "garden" / "dev", here / "mine")
    (folder / "queries.jsonl").write_text('{"text": "Where?"}\n')
    assert "queries.jsonl:1: 'doc_id' must be a string" in refused("--sets", folder)


def test_models_of_two_checkpoints_are_not_mixed(here: Path):
    pytest.importorskip("matplotlib")
    Path("config.yaml").write_text(
        "models: [{id: a, attention: infini}, {id: b, attention: infini, weights: ./b}]\n"
    )
    assert "of one checkpoint" in refused("--data", DATA, "--config", "config.yaml")
    said = refused("--data", DATA, "--config", "config.yaml", "--models", "b", "--sets", "garden")
    assert said.startswith("model multi-head: ")  # the teacher, made from the weights of b


def test_without_matplotlib_it_says_what_to_install(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = refused("--data", DATA, "--sets", "garden")
    assert said == "plots need matplotlib: pip install 'longstream[reports]'"
    assert not Path("evaluation").exists()


def test_help_does_not_wait_for_heavy_libraries():
    check = (
        "import sys; import service.cli.evaluate; "
        "print([name for name in ('torch', 'numpy', 'pydantic', 'matplotlib', 'rich.progress') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout == "[]\n"
