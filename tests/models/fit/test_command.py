"""`python -m models.fit` on the real base, as short as a run can be."""

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from models.checkpoints import FOLDER
from models.config import DEFAULT_WEIGHTS
from models.errors import TextError
from models.fit.__main__ import fit
from models.loading import WITHOUT, load_encoder

app = typer.Typer()
app.command()(fit)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text("".join(f"the {i} cats sat on the mat\n" for i in range(10, 60)))
    return file


def test_a_run_that_is_stopped_goes_on_and_its_adapter_loads(texts: Path, tmp_path: Path):
    folder = tmp_path / "run"
    asked = ("causal", "--texts", texts, "--run", folder, "--tokens", 8000, "--rate", 0.5)
    run(*map(str, asked), "--minutes", "0")
    assert json.loads((folder / "run.json").read_text())["steps"] == 0
    run(*map(str, asked))
    described = json.loads((folder / "run.json").read_text())
    assert described["steps"] == 2
    assert described["recipe"]["matrix_rate"] == 0.5 * 3e-3
    assert described["command"].endswith("--seed 0 --tokens 8000 --rate 0.5")
    trained = load_encoder("causal", DEFAULT_WEIGHTS, adapter=str(folder / "causal.safetensors"))
    untrained = load_encoder("causal", DEFAULT_WEIGHTS, adapter=WITHOUT)
    name = "blocks.0.attention.query.weight"
    moved = trained.encoder.state_dict()[name] - untrained.encoder.state_dict()[name]
    assert 0 < moved.abs().max() < 0.1
    assert torch.equal(trained.encoder.blocks[0].up.weight, untrained.encoder.blocks[0].up.weight)  # type: ignore[arg-type,union-attr]


def test_it_can_begin_with_an_adapter(texts: Path, tmp_path: Path):
    packaged = load_encoder("causal", DEFAULT_WEIGHTS)
    assert packaged.adapter is not None
    start = FOLDER / packaged.adapter
    asked = ("causal", "--texts", texts, "--run", tmp_path / "run", "--minutes", "0")
    run(*asked, "--start", start)
    again = load_encoder(
        "causal", DEFAULT_WEIGHTS, adapter=str(tmp_path / "run/causal.safetensors")
    )
    assert again.fingerprint == packaged.fingerprint


def test_mistakes_are_named(tmp_path: Path):
    result = CliRunner().invoke(app, ["nothing", "--texts", ".", "--run", str(tmp_path)])
    assert result.exit_code == 2
    assert "no recipe for 'nothing'" in result.output
    with pytest.raises(TextError, match="no training texts in"):
        run("causal", "--texts", tmp_path, "--run", tmp_path / "run")
