"""`python -m models.fit.context` from documents to an adapter that loads, as short as a run can be."""

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from models.errors import TextError
from models.evaluate.data import RetrievalSet
from models.fit.context import __main__ as command
from models.fit.context.recipes import ContextRecipe, Stage
from models.loading import WITHOUT, load_encoder
from models.weights import read_header

app = typer.Typer()
app.command()(command.fit)
STAGE = Stage(steps=2, documents=3, chunks=3, rate=1e-2)
RECIPES = {
    "infini": ContextRecipe(attention=STAGE, memory_from=1, memory_rank=2),
    "infini-plus": ContextRecipe(reader=STAGE),
}


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def data(tmp_path: Path, documents: RetrievalSet) -> Path:
    """Write the documents as a training set; return the folder of sets."""
    folder = tmp_path / "data/small/train"
    folder.mkdir(parents=True)
    texts = [chunk for document in documents.documents for chunk in document]
    lines = [
        {"doc_id": str(i), "chunks": [{"chunk_id": text, "text": text} for text in chunks]}
        for i, chunks in enumerate(documents.documents)
    ]
    queries = [
        {"text": q.text, "doc_id": str(q.document), "gold_chunk_ids": [texts[g] for g in q.gold]}
        for q in documents.queries
    ]
    for name, rows in (("docs", lines), ("queries", queries)):
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(content, "utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("variant", "stage", "name", "memory"),
    [
        ("infini", "attention", "blocks.1.attention.memory_side.key.up.weight", (1, 2)),
        ("infini-plus", "reader", "reader.up", (0, 0)),
    ],
)
def test_a_run_that_is_stopped_goes_on_and_its_adapter_loads(  # noqa: PLR0917 - fixtures
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    stage: str,
    name: str,
    memory: tuple[int, int],
):
    monkeypatch.setattr(command, "CONTEXT_RECIPES", RECIPES)
    folder = tmp_path / "run"
    asked = (variant, "--data", data, "--run", folder, "--weights", checkpoint, "--seed", 7)
    stopped = run(*asked, "--minutes", 0)
    assert stopped.exit_code == 0
    assert "the same command goes on" in stopped.output
    assert not (folder / "run.json").exists()

    assert run(*asked).exit_code == 0

    file = folder / f"{variant}.safetensors"
    header = read_header(file)
    assert header.attention == variant
    assert (header.memory_from, header.memory_rank) == memory
    loaded = load_encoder(variant, str(checkpoint), adapter=str(file)).encoder
    state = torch.load(folder / stage / "checkpoint.pt", weights_only=True)
    trained = state["parameters"][name]
    assert trained.any()  # it begins at 0
    assert torch.equal(loaded.state_dict()[name], trained.half().float())
    described = json.loads((folder / "run.json").read_text("utf-8"))
    assert described["recipe"][stage]["steps"] == 2
    assert list(described["sets"]) == ["small"]
    assert described["command"].startswith(f"python -m models.fit.context {variant} --data DIR ")
    assert described["command"].endswith("--seed 7")


@pytest.mark.parametrize(
    ("variant", "among"), [("infini", "blocks.0.attention.beta"), ("infini-plus", "reader.scale")]
)
def test_only_what_acts_behind_a_memory_is_trained(checkpoint: Path, variant: str, among: str):
    model = load_encoder(variant, str(checkpoint), adapter=WITHOUT)
    names = set(command.trained_parameters(model))
    base = set(load_encoder("multi-head", str(checkpoint)).encoder.state_dict())
    assert names == set(dict(model.encoder.named_parameters())) - base
    assert among in names


def test_mistakes_are_named(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    refused = run("multi-head", "--data", tmp_path, "--run", tmp_path / "run")
    assert refused.exit_code == 2
    assert "no recipe for 'multi-head'" in refused.output
    monkeypatch.setattr(command, "CONTEXT_RECIPES", RECIPES)
    with pytest.raises(TextError, match=r"no train/queries\.jsonl under"):
        run("infini", "--data", tmp_path, "--run", tmp_path, "--weights", checkpoint)
