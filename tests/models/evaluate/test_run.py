import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.evaluate import EvaluationError, Plan, Report, Variant, evaluate
from models.evaluate.bootstrap import Estimate, Resampling
from models.evaluate.encoding import encode, plan_reading
from models.evaluate.markdown import as_markdown
from models.evaluate.plot import draw
from models.loading import LoadedEncoder
from tests.models.conftest import TINY
from tests.models.evaluate.conftest import small


class Recorder:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.works: list[list[object]] = []

    def begin(self, work: str, total: int) -> None:
        self.works.append([work, total, 0])

    def advance(self, count: int) -> None:
        self.works[-1][2] += count  # type: ignore[operator]


@pytest.fixture
def report(variants: list[Variant], plan: Plan) -> Report:
    return evaluate(variants, plan)


def test_a_report_has_everything_of_every_variant(report: Report, variants: list[Variant]):
    assert [row.id for row in report.rows] == ["multi-head", "infini"]
    base, infini = report.rows
    for row in report.rows:
        assert set(row.figures) == {"garden", "stsb"}
        assert set(row.figures["garden"]) == {
            "ndcg@10",
            "r@1",
            "ndcg@10 in document",
            "r@1 in document",
        }
        for estimate in [*row.figures["garden"].values(), row.figures["stsb"]["spearman"]]:
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= estimate.value <= estimate.high
    assert (base.memory_bytes, infini.memory_bytes) == (
        0,
        variants[1].encoder.empty_memory().nbytes,
    )
    assert report.speed is not None
    assert set(report.speed.ratios) == {"multi-head", "infini"}
    assert [source.counts for source in report.sources] == [
        {"pairs": 10},
        {"documents": 4, "chunks": 12, "queries": 11},
    ]


def test_truncation_is_told_for_each_set(report: Report, variants: list[Variant], plan: Plan):
    base, infini = report.rows
    texts = [query.text for query in plan.sets[0].queries]
    texts += [text for chunks in plan.sets[0].documents for text in chunks]
    over = [max(0, len(text) - 38) for text in texts]
    assert base.truncation["garden"].tokens == sum(over) > 100
    assert base.truncation["garden"].texts == sum(count > 0 for count in over)
    assert {lost.tokens for lost in infini.truncation.values()} == {0}


def test_the_teacher_agrees_with_itself_and_the_empty_memory_with_the_teacher(report: Report):
    """Untrained, `infini` differs from the base only by what it remembers, which agreement leaves out."""
    for row in report.rows:
        assert row.agreement.smallest == pytest.approx(1, abs=1e-6)
        assert row.agreement.mean is not None
        assert row.agreement.mean.value == pytest.approx(1, abs=1e-6)
    base, infini = report.rows
    assert base.agreement.texts == 11 + 12 + 20
    assert 0 < infini.agreement.texts < base.agreement.texts


def test_agreement_with_another_encoder(variants: list[Variant], plan: Plan):
    teacher, other = variants[0], replace(variants[0], id="other")
    other = replace(other, encoder=small("causal", teacher.tokenizer).encoder)
    [_, row] = evaluate([teacher, other], replace(plan, sets=(), speed_rounds=0)).rows
    assert plan.pairs is not None
    texts = [(text,) for text in plan.pairs.first + plan.pairs.second]
    ours, theirs = (encode(v, plan_reading(v, texts)).vectors for v in (other, teacher))
    cosines = (ours * theirs).sum(1)
    assert row.agreement.mean is not None
    assert row.agreement.mean.value == pytest.approx(cosines.mean(), abs=1e-6)
    assert row.agreement.smallest == pytest.approx(cosines.min(), abs=1e-6)
    assert row.agreement.fifth_percentile == pytest.approx(np.quantile(cosines, 0.05), abs=1e-6)
    assert cosines.min() < 0.999


def test_gains_are_over_each_baseline(variants: list[Variant], plan: Plan):
    both = replace(plan, baselines=("multi-head", "infini"), speed_rounds=0)
    report = evaluate(variants, both)
    assert {base: set(rows) for base, rows in report.differences.items()} == {
        "multi-head": {"infini"},
        "infini": {"multi-head"},
    }
    base, infini = (row.figures["garden"]["ndcg@10"] for row in report.rows)
    gain = report.differences["multi-head"]["infini"]["garden"]["ndcg@10"]
    assert gain.value == pytest.approx(infini.value - base.value)
    back = report.differences["infini"]["multi-head"]["garden"]["ndcg@10"]
    assert (back.value, back.low, back.high) == pytest.approx(
        (-gain.value, -(gain.high or 0), -(gain.low or 0))
    )


def test_the_json_is_the_same_in_every_run_but_for_the_speed(variants: list[Variant], plan: Plan):
    texts = [evaluate(variants, plan).as_json() for _ in range(2)]
    one, other = (json.loads(text) for text in texts)
    assert one.pop("speed").keys() == other.pop("speed").keys()
    assert json.dumps(one) == json.dumps(other)
    quiet = replace(plan, speed_rounds=0)
    assert evaluate(variants, quiet).as_json() == evaluate(variants, quiet).as_json()
    seeded = replace(quiet, resampling=Resampling(1, 60))
    assert evaluate(variants, seeded).as_json() != evaluate(variants, quiet).as_json()


def test_progress_reaches_its_end(variants: list[Variant], plan: Plan):
    watch = Recorder()
    evaluate(variants, plan, watch)
    assert [work for work, _, _ in watch.works] == [
        "multi-head: reading",
        "infini: reading",
        "intervals",
        "speed",
    ]
    assert all(total == done for _, total, done in watch.works)


def test_what_cannot_be_compared_is_refused(variants: list[Variant], plan: Plan):
    with pytest.raises(EvaluationError, match="'multi-head' is not evaluated"):
        evaluate(variants[1:], plan)
    with pytest.raises(EvaluationError, match="'x' is not evaluated; evaluated are multi-head"):
        evaluate(variants, replace(plan, baselines=("x",)))
    with pytest.raises(EvaluationError, match="same id"):
        evaluate([variants[0], variants[0]], plan)


def test_markdown_states_figures_gains_and_what_was_dropped(report: Report):
    text = as_markdown(report, ["longstream", "evaluate", "--sets", "a set"])
    value = report.rows[0].figures["garden"]["ndcg@10"]
    assert f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})" in text
    assert "## Gain over `multi-head`" in text
    lost = report.rows[0].truncation["garden"]
    assert f"`multi-head` read only the beginning of {lost.texts} texts of garden: " in text
    assert f": {lost.tokens:,} tokens were dropped." in text
    assert "longstream evaluate --sets 'a set'" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_markdown_sets_certain_gains_in_bold(report: Report):
    gains = report.differences["multi-head"]["infini"]["garden"]
    _, garden = report.sources
    gains["ndcg@10"], gains["r@1"] = Estimate(0.2, 0.1, 0.3), Estimate(0.2, -0.1, 0.3)
    gains["ndcg@10 in document"] = Estimate(0.2, None, None)
    warning = "garden has fewer than 10 independent units"
    text = as_markdown(report)
    assert "| +0.200 (+0.100 to +0.300) |" in text
    assert warning in text
    garden.counts["documents"] = 10
    text = as_markdown(report)
    assert warning not in text
    assert "| **+0.200 (+0.100 to +0.300)** |" in text
    assert "| +0.200 (-0.100 to +0.300) |" in text
    assert "| +0.200 |" in text


def test_the_plot_is_a_picture_and_the_same_every_time(report: Report, tmp_path: Path):
    pytest.importorskip("matplotlib")
    files = [tmp_path / "one.png", tmp_path / "other.png"]
    for file in files:
        draw(report, file)
    one, other = (file.read_bytes() for file in files)
    assert one.startswith(b"\x89PNG")
    assert one == other


def test_the_checkpoint_finds_what_a_reader_would(multi_head: LoadedEncoder, plan: Plan):
    """all-MiniLM-L6-v2 on a handful of easy questions; random vectors would be near 0.3."""
    loaded = replace(multi_head, adapter="a.safetensors", adapter_bytes=7)
    variant = Variant.of("multi-head", loaded)
    [row] = evaluate([variant], replace(plan, speed_rounds=0)).rows
    assert row.figures["garden"]["ndcg@10"].value > 0.9
    assert row.figures["stsb"]["spearman"].value > 0.85
    assert (row.adapter, row.adapter_bytes) == ("a.safetensors", 7)
    assert row.fingerprint == multi_head.fingerprint
    assert row.window > TINY.max_tokens
