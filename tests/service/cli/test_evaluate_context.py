"""`longstream evaluate-context` in this process, on the real checkpoint and a handful of texts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from models.evaluate.context import plan
from models.loading import PACKAGED
from service.cli.context_plan import models_of
from service.cli.evaluate_context import evaluate_context
from service.errors import ConfigError

DATA = Path(__file__).parents[2] / "data" / "evaluate"
ROOT = Path(__file__).parents[3]
GARDEN = ("--data", DATA, "--sets", "garden")


def invoke(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate_context)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_command_gives_the_report_twice_the_same(here: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plan, "POSITIONS", (0, 40))  # 100,000 tokens take minutes
    options = [*GARDEN, "--model", "infini", "--second-look", "--position", "--half", "all"]
    result = invoke(*options, "--out", "one")
    assert result.exit_code == 0, result.output
    assert result.stdout == (here / "one" / "report.md").read_text()
    for option in ("--model infini", "--second-look", "--position", "--half all", "--seed 0"):
        assert option in result.stdout
    assert "--far" not in result.stdout
    assert "longstream: garden: infini, memory off" in result.stderr
    report = json.loads((here / "one" / "report.json").read_text())
    [found] = report["sets"]
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["chunk alone"]["figures"]["ndcg@10"]["value"] > 0.9
    assert rows["infini: memory off"]["figures"] == rows["chunk alone"]["figures"]
    start, after = found["positions"]["infini"]
    assert start["tokens"] == 0
    assert 40 <= after["tokens"] < 100
    assert found["counts"]["queries"] == 11
    assert float(report["no_harm"]["infini"]) < 1e-6
    assert invoke(*options, "--out", "other").exit_code == 0
    for name in ("report.json", "report.md", "report.png"):
        assert (here / "one" / name).read_bytes() == (here / "other" / name).read_bytes()


def test_without_models_the_free_rows_stand_alone(here: Path):
    pytest.importorskip("matplotlib")
    result = invoke(*GARDEN, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "memory off" not in result.stdout.split("## Notes")[0]
    assert (here / "evaluation" / "context" / "report.json").exists()
    assert not (here / "evaluation" / "context" / "report.png").exists()  # nothing to draw


def test_adapters_are_seeds_of_their_attention():
    assert models_of(["infini"], []) == [("infini", "infini", PACKAGED)]
    assert models_of(["infini", "infini"], ["plus=runs/a.safetensors", "plus=b.safetensors"]) == [
        ("infini", "infini", PACKAGED),
        ("plus", "plus a", "runs/a.safetensors"),
        ("plus", "plus b", "b.safetensors"),
    ]
    assert models_of(["infini"], ["infini=a.b"]) == [("infini", "infini a", "a.b")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--half", "best"], "--half best: it is one of report, selection, all"),
        (["--adapter", "infini"], "--adapter infini: say ATTENTION=FILE"),
        (["--adapter", "infini="], "--adapter infini=: say ATTENTION=FILE"),
        (["--adapter", "infini=nowhere.safetensors"], "model infini nowhere: there is no adapter"),
        (["--model", "nothing"], "model nothing: unknown attention 'nothing'; known: "),
        (["--model", "causal"], "model causal has no memory"),
        (["--sets", "nowhere"], "nowhere/dev/docs.jsonl: cannot be read"),
        (["--limit-docs", "1"], "garden: its selection half has no query"),
        (["--weights", "./nowhere"], "model multi-head: "),
        (["--out", "file/out"], "--out file"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(here: Path, options: list[str], says: str):
    pytest.importorskip("matplotlib")
    Path("file").touch()
    result = invoke(*GARDEN, *options)
    assert isinstance(result.exception, ConfigError), result.output
    assert says in str(result.exception)
    assert result.stdout == ""


def test_help_does_not_wait_for_heavy_libraries():
    check = (
        "import sys; import service.cli.evaluate_context; "
        "print([name for name in ('torch', 'numpy', 'pydantic', 'matplotlib', 'rich.progress') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout == "[]\n"
