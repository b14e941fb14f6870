"""`python -m models.fit.recall`: from folders of text to a head in a file, in one go or in two."""

import json
import random
from pathlib import Path

import pytest
import torch

from models.errors import TextError
from models.fit import recall
from models.fit.recall_recipe import Amounts, RecallRecipe
from models.loading import LoadedEncoder
from models.recall import load_recall
from tests.models.conftest import WEIGHTS

CHUNKS = [
    "The river was quiet. In 1812 the snow came early. Nobody spoke of the 30 men.",
    "A line of 1848 ends here.\u2028It goes on after it. All was well.",
    "Nothing here can be counted. The garden was green.",
]

DRAW = random.Random(0)  # noqa: S311 - a sample


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    document = {
        "doc_id": "a",
        "chunks": [{"chunk_id": str(i), "text": t} for i, t in enumerate(CHUNKS)],
    }
    for split in ("train", "dev"):
        folder = tmp_path / "texts/set" / split
        folder.mkdir(parents=True)
        document["chunks"][0]["text"] += f" Of {split}."  # type: ignore[index]
        (folder / "docs.jsonl").write_text(json.dumps(document, ensure_ascii=False) + "\n", "utf-8")
    return tmp_path / "texts"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recall, "Amounts", lambda: Amounts(facts=14, others=3, chunks=5, fillers=5))
    monkeypatch.setattr(
        recall, "RecallRecipe", lambda: RecallRecipe(documents=2, others=8, mine_every=2)
    )


def test_a_run_writes_a_head_that_loads_and_says_how_it_came_about(
    texts: Path, tmp_path: Path, multi_head: LoadedEncoder, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    recall.fit(texts, run, WEIGHTS, steps=4, minutes=0.0)
    begun = (run / "encoded.pt").stat().st_mtime_ns
    recall.fit(texts, run, WEIGHTS, steps=4)
    assert (run / "encoded.pt").stat().st_mtime_ns == begun
    head = load_recall(run / "recall.safetensors", multi_head.base_sha256)
    assert head.options.window == multi_head.tokenizer.max_tokens
    described = json.loads((run / "run.json").read_text("utf-8"))
    assert described["steps"] == 4
    assert described["facts"] >= 14
    assert set(described["held_out"]) >= {"right", "leaks"}
    assert json.dumps(described, indent=2) in capsys.readouterr().out

    recall.fit(texts, tmp_path / "again", WEIGHTS, steps=4)
    again = load_recall(tmp_path / "again/recall.safetensors", multi_head.base_sha256)
    for name, tensor in head.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_only_training_splits_are_read(texts: Path):
    fillers, passages = recall.natural_text(texts, Amounts(), DRAW)
    assert "Of train." in fillers
    assert not any("Of dev" in text for text in fillers)
    assert len(passages) == 2  # the chunks with digits
    assert any("\u2028" in passage[0].text for passage in passages)


def test_a_folder_without_texts_is_refused(tmp_path: Path):
    with pytest.raises(TextError, match="no SET/train"):
        recall.natural_text(tmp_path, Amounts(), DRAW)
    folder = tmp_path / "set/train"
    folder.mkdir(parents=True)
    (folder / "docs.jsonl").write_text('{"doc_id": "a"}\n', "utf-8")
    with pytest.raises(TextError, match="lines must be documents of chunks"):
        recall.natural_text(tmp_path, Amounts(), DRAW)
