"""Pairs of query and passage: read from training sets, drawn side by side, told apart by the loss."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import FitError, TextError
from models.fit.losses import TEMPERATURE, contrast_loss
from models.fit.pairs import Pairs, read_pairs
from models.fit.recipes import Recipe
from models.fit.trainer import Trainer
from models.tokenizer import Tokenizer
from tests.models.fit.conftest import student, teacher
from tests.models.small import random_texts


def write(folder: Path, split: str, queries: list[dict[str, Any]]) -> None:
    place = folder / "peps" / split
    place.mkdir(parents=True)
    chunks = [{"chunk_id": f"d#{i}", "text": f"{split} chunk {i}"} for i in range(3)]
    document = {"doc_id": "d", "chunks": chunks}
    (place / "docs.jsonl").write_text(json.dumps(document) + "\n")
    (place / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))


def test_a_query_comes_with_its_first_gold_chunk_and_only_from_train(tmp_path: Path):
    asked = [
        {"text": "which?", "gold_chunk_ids": ["d#2", "d#0"]},
        {"text": "none?", "gold_chunk_ids": []},
    ]
    write(tmp_path, "train", asked)
    write(tmp_path, "dev", asked)
    assert read_pairs([tmp_path]) == [("which?", "train chunk 2")]


def test_no_pairs_is_an_error_that_names_the_folder(tmp_path: Path):
    with pytest.raises(TextError, match=str(tmp_path)):
        read_pairs([tmp_path])


@pytest.fixture
def pairs(tokenizer: Tokenizer) -> Pairs:
    texts = random_texts(240, longest=12)
    return Pairs(list(zip(texts[::2], texts[1::2], strict=True)), tokenizer, 6, seed=2)


def test_a_batch_is_queries_then_their_passages(pairs: Pairs, tokenizer: Tokenizer):
    texts = random_texts(240, longest=12)
    sides = [[cut[0] for cut in tokenizer.segments(side)] for side in (texts[::2], texts[1::2])]
    together = set(zip(*sides, strict=True))
    batch = pairs.batch(3)
    assert len(batch) == 12
    assert set(zip(batch[:6], batch[6:], strict=True)) <= together
    assert batch == pairs.batch(3) != pairs.batch(4)


def test_held_out_pairs_are_not_drawn(pairs: Pairs):
    kept = set(zip(pairs.held_out[:12], pairs.held_out[12:], strict=True))
    assert len(pairs.held_out) == 24
    for step in range(60):
        batch = pairs.batch(step)
        assert not kept & set(zip(batch[:6], batch[6:], strict=True))


def test_fewer_pairs_than_a_batch_are_refused(tokenizer: Tokenizer):
    with pytest.raises(FitError, match="too few pairs"):
        Pairs([("a", "b")] * 4, tokenizer, 6, seed=0)


def test_contrast_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    right = math.log1p(math.exp((0.6 - 1) / TEMPERATURE))
    assert contrast_loss(queries, queries).item() == pytest.approx(right, rel=1e-3)
    wrong = math.log1p(math.exp((1 - 0.6) / TEMPERATURE))
    assert contrast_loss(queries, queries.flip(0)).item() == pytest.approx(wrong, rel=1e-5)


def test_training_on_pairs_moves_the_weights_of_the_heads_and_nothing_else(
    pairs: Pairs, tmp_path: Path
):
    learner = student("multi-head-weighted")
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    recipe = Recipe(
        tokens=320, warm_up_tokens=0, step_tokens=64, other_rate=2e-2, pairs=6, own_only=True
    )
    Trainer(learner, teacher(), pairs, recipe, tmp_path).run()
    moved = {n for n, now in learner.state_dict().items() if not torch.equal(now, before[n])}
    assert moved == {f"blocks.{i}.attention.head_logits" for i in range(len(learner.layers))}
