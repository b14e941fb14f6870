"""Cards say what a report found, in words for people and in front matter that loads."""

from pathlib import Path
from typing import Any

import pytest

from models.checkpoints import packaged
from models.fit.cards import LIMITS, REMEMBERING_LIMITS, TAUGHT_LIMITS, card
from models.variants import variants
from models.weights import read_card

REPORT: dict[str, Any] = {
    "command": {"split": "dev", "sets": "peps"},
    "speed": {"ratios": {"causal": {"median": 1.2345}}},
}
ROW: dict[str, Any] = {
    "id": "causal",
    "attention": "causal",
    "adapter_bytes": 7,
    "figures": {
        "peps": {
            "ndcg@10": {"value": 0.25, "low": 0.2, "high": 0.3},
            "ndcg@10 in document": {"value": 0.5, "low": 0.4, "high": 0.6},
        }
    },
    "agreement": {"mean": {"value": 0.9, "low": 0.8, "high": 0.95}},
}
RUN: dict[str, Any] = {
    "steps": 12345,
    "device": "cpu (2 threads)",
    "seed": 7,
    "text_tokens": 1_000_000,
    "held_out": {"cosine": 0.9876},
    "command": "python -m models.fit causal --texts DIR --run runs/causal --seed 7",
    "recipe": {"tokens": 5},
}


MEMORY_RUN: dict[str, Any] = {
    "command": "python -m models.fit.context infini-plus --data DIR --run runs/infini-plus --seed 3",
    "device": "cpu",
    "seed": 3,
    "sets": {"peps": {"docs.jsonl": "0" * 64}, "peps-hidden": {"docs.jsonl": "0" * 64}},
    "recipe": {
        "attention": None,
        "reader": {"steps": 600, "rate": 0.001, "before": {"share": 0.5, "documents": 8}},
        "memory_from": 3,
        "gate_logit": -0.62,
    },
}


def test_a_card_reads_back_as_the_figures_of_its_report(tmp_path: Path):
    file = tmp_path / "causal.md"
    file.write_text(card(ROW, REPORT, RUN, "b" * 64))
    read = read_card(file)
    assert read.base == "b" * 64
    assert read.evaluation == {
        "peps_dev_ndcg_at_10": 0.25,
        "mean_cosine_to_base": 0.9,
        "tokens_per_second_to_base": 1.23,
        "adapter_bytes": 7,
    }
    text = file.read_text()
    for said in (RUN["command"], "12,345 steps", "0.5000 | 0.4000 to 0.6000", LIMITS["causal"]):
        assert said in text
    assert TAUGHT_LIMITS in text
    assert REMEMBERING_LIMITS not in text


def test_a_variant_that_was_not_trained_says_so():
    text = card(ROW | {"agreement": {"mean": None}}, REPORT | {"speed": None}, None, "b" * 64)
    assert "Nothing of it was trained." in text
    assert "mean_cosine_to_base" not in text
    assert "tokens_per_second" not in text


def test_the_training_of_a_memory_is_told_from_its_run():
    row = ROW | {"id": "infini-plus", "attention": "infini-plus"}
    text = card(row, REPORT, MEMORY_RUN, "b" * 64)
    for said in (
        MEMORY_RUN["command"],
        "600 steps of the reader, on cpu",
        "seed 3 from documents and queries of peps, peps-hidden",
        "| reader.rate | 0.001 |",
        "| reader.before.documents | 8 |",
        "| memory_from | 3 |",
        "| gate_logit | -0.62 |",
        LIMITS["infini-plus"],
        REMEMBERING_LIMITS,
    ):
        assert said in text
    assert TAUGHT_LIMITS not in text
    assert "attention" not in _training_of(text)


def test_a_memory_inside_the_layers_says_where_and_one_of_two_stages_names_both():
    recipe = {"attention": {"steps": 1500, "rate": 0.002}, "reader": None, "memory_from": 3}
    row = ROW | {"id": "infini", "attention": "infini"}
    text = card(row, REPORT, MEMORY_RUN | {"recipe": recipe}, "b" * 64)
    for said in (
        "1,500 steps of the attention, on cpu",
        "| attention.rate | 0.002 |",
        "| memory_from | 3 |",
        LIMITS["infini"],
    ):
        assert said in text
    assert "reader" not in _training_of(text)
    both = MEMORY_RUN | {"recipe": recipe | {"reader": {"steps": 600}}}
    text = card(row, REPORT, both, "b" * 64)
    assert "1,500 steps of the attention, then 600 steps of the reader" in text


def _training_of(text: str) -> str:
    return text.partition("## How")[2].partition("## Limits")[0]


def test_every_variant_has_limits():
    assert set(LIMITS) == set(variants())


@pytest.mark.parametrize("variant", [name for name in variants() if packaged(name, "md")])
def test_the_packaged_cards_load_and_adapters_are_small(variant: str):
    file, adapter = packaged(variant, "md"), packaged(variant, "safetensors")
    assert file is not None
    evaluation = read_card(file).evaluation
    assert evaluation["adapter_bytes"] == (adapter.stat().st_size if adapter else 0) <= 8_000_000
    assert 0.5 < evaluation["stsb_dev_spearman"] < 1
