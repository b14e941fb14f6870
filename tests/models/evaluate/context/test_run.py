import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.evaluate import RetrievalSet, Variant
from models.evaluate.bootstrap import Estimate
from models.evaluate.context import ContextPlan, ContextReport, evaluate_context
from models.evaluate.context.markdown import as_markdown
from models.evaluate.context.overall import BEST_FREE, INSIDE
from models.evaluate.context.plot import draw
from models.evaluate.context.report import SetReport
from models.evaluate.context.rows import (
    ALONE,
    ATTENUATED,
    CONTROLS,
    LATE,
    NOTHING,
    OFF,
    OTHER,
    OVERLAPPING,
    OWN,
    SECOND_LOOK,
    TITLE,
)
from models.evaluate.context.scores import MAIN
from tests.models.evaluate.test_run import Recorder


@pytest.fixture
def full(plan: ContextPlan, linked: RetrievalSet) -> ContextPlan:
    """Everything that can be asked for, two seeds of a training included."""
    [infini] = plan.models
    seeds = tuple(replace(infini, id=f"infini {i}") for i in range(2))
    return replace(
        plan, sets=(*plan.sets, linked), models=seeds, second_look=True, positions=(0, 60)
    )


@pytest.fixture
def report(full: ContextPlan) -> ContextReport:
    return evaluate_context(full)


def figures(found: SetReport, id_: str) -> dict[str, float]:
    [row] = [row for row in found.rows if row.id == id_]
    return {metric: estimate.value for metric, estimate in row.figures.items()}


def test_all_rows_stand_side_by_side(report: ContextReport):
    garden, linked = report.sets
    free = [ALONE, "+ first chunk", "+ running mean", "+ moving average", "+ previous chunk"]
    free += ["+ document mean", ATTENUATED, OVERLAPPING, LATE]
    memories = [
        f"{model}: {control}"
        for model in ("infini 0", "infini 1", "infini, mean of 2")
        for control in (OWN, SECOND_LOOK, OFF, OTHER, NOTHING)
    ]
    assert [row.id for row in garden.rows] == [*free, TITLE, *memories]
    assert [row.id for row in linked.rows] == [*free, *memories]  # it has no titles
    assert garden.best_free in free[1:]
    assert [row.settings.keys() for row in garden.rows[:4]] == [
        set(),
        {"a"},
        {"a"},
        {"a", "decay"},
    ]
    assert set(garden.rows[6].settings) == {"g", "from layer"}
    assert garden.rows[8].settings == {"window": 128}


def test_bf16_is_close_and_leaves_no_harm_exact(plan: ContextPlan):
    exact = evaluate_context(plan)
    [model] = plan.models
    halved: list[bool] = []
    hook = model.encoder.register_forward_hook(
        lambda *_: halved.append(torch.is_autocast_enabled("cpu"))
    )
    rounded = evaluate_context(replace(plan, bf16=True))
    hook.remove()
    sentences = halved.index(False)  # the single sentences come after the sets
    assert sentences > 0
    assert not any(halved[sentences:])
    assert rounded.no_harm == exact.no_harm
    for one, other in zip(exact.sets, rounded.sets, strict=True):
        for row in one.rows:
            assert figures(other, row.id) == pytest.approx(figures(one, row.id), abs=0.15), row.id


def test_what_is_the_same_by_definition_has_the_same_figures(report: ContextReport):
    for found in report.sets:
        assert figures(found, f"infini 0: {OFF}") == figures(found, ALONE)
        for control in (OWN, SECOND_LOOK, *CONTROLS):
            of_mean = figures(found, f"infini, mean of 2: {control}")
            assert of_mean == pytest.approx(figures(found, f"infini 1: {control}"))
    assert max(report.no_harm.values()) < 1e-6
    assert set(report.no_harm) == {"infini 0", "infini 1"}


def test_all_sets_count_the_same_in_the_mean(report: ContextReport):
    garden, linked = report.sets
    found = {row.id: row for row in report.overall}
    assert TITLE not in found  # one set has no titles
    assert f"infini 0: {OWN}" not in found  # its mean with the other seed stands for it
    own = found[f"infini, mean of 2: {OWN}"]
    of_sets = [figures(part, own.id)[MAIN] for part in report.sets]
    assert own.by_set == pytest.approx(dict(zip(("garden", "linked"), of_sets, strict=True)))
    assert own.mean == pytest.approx(sum(of_sets) / 2)
    assert {ALONE, BEST_FREE, *CONTROLS} < own.gains.keys()
    assert own.gains[ALONE].value == pytest.approx(own.mean - found[ALONE].mean)
    assert own.gains[OTHER].value == pytest.approx(
        own.mean - found[f"infini, mean of 2: {OTHER}"].mean
    )
    best = found[BEST_FREE]
    assert best.by_set == pytest.approx(
        {part.name: figures(part, part.best_free)[MAIN] for part in (garden, linked)}
    )
    assert own.gains[BEST_FREE].value == pytest.approx(own.mean - best.mean)
    assert found[ALONE].gains.keys() == {BEST_FREE}
    inside = [figures(part, own.id)[INSIDE] - figures(part, ALONE)[INSIDE] for part in report.sets]
    assert own.gains[f"{ALONE}, in document"].value == pytest.approx(sum(inside) / 2)


def test_a_single_set_has_no_mean(plan: ContextPlan):
    report = evaluate_context(replace(plan, pairs=None))
    assert report.overall == ()
    assert "All sets" not in as_markdown(report)


def test_links_and_positions_are_told(report: ContextReport):
    garden, linked = report.sets
    assert all(set(row.link) == {1, 2} and row.passkey for row in linked.rows)
    assert not any(row.link or row.passkey for row in garden.rows)
    assert list(garden.positions) == ["infini 0", "infini 1"]
    assert [
        at.tokens >= asked for at, asked in zip(garden.positions["infini 0"], (0, 60), strict=True)
    ]
    assert garden.counts["documents"] == 2
    assert garden.counts["queries"] == 6


def test_the_base_encodes_the_queries_whatever_the_model(plan: ContextPlan, infini: Variant):
    """A model's own way with queries must not show: an index stays compatible with the base."""
    broken = replace(infini, encoder=infini.encoder)
    asked: list[int] = []
    forward = broken.encoder.forward

    def watched(segments, memories=None):
        asked.extend(len(segment.ids) for segment in segments)
        return forward(segments, memories)

    broken.encoder.forward = watched  # type: ignore[method-assign]
    evaluate_context(replace(plan, pairs=None, models=(broken,)))
    [data] = plan.sets
    segments = infini.tokenizer.segments([text for chunks in data.documents for text in chunks])
    lengths = [len(segment.ids) for text in segments for segment in text]
    assert sorted(asked) == sorted(4 * lengths)  # own, another's, off, nothing; no query


def test_the_json_is_the_same_in_every_run(full: ContextPlan, report: ContextReport):
    text = report.as_json()
    assert evaluate_context(full).as_json() == text
    content = json.loads(text)
    assert content["format"] == 1
    assert content["half"] == "report"
    assert content["sets"][1]["rows"][0]["link"].keys() == {"1", "2"}
    assert float(content["no_harm"]["infini 0"]) < 1e-6
    quiet = replace(full, second_look=False, positions=(), pairs=None)
    assert json.loads(evaluate_context(quiet).as_json())["no_harm"] == {}


def test_progress_reaches_its_end(full: ContextPlan):
    watch = Recorder()
    evaluate_context(replace(full, positions=()), watch)
    for work, total, done in watch.works:
        assert total == done, work


def test_markdown_has_a_table_for_everything(report: ContextReport):
    text = as_markdown(report, ["longstream", "evaluate-context", "--sets", "a set"])
    assert "longstream evaluate-context --sets 'a set'" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 1 + (1 + 1 + 1 + 1) + (1 + 1 + 1 + 1 + 1) + 1
    for found in tables:
        assert len({line.count("|") for line in found.splitlines()}) == 1
    garden = report.sets[0]
    assert f"| **{garden.best_free}** |" in text
    own = next(row for row in garden.rows if row.id == f"infini 0: {OWN}")
    value = own.gains[f"infini 0: {OTHER}"][MAIN]
    assert f"| infini 0: {OWN} | infini 0: {OTHER} | {value.value:+.3f} (" in text


def test_markdown_is_bold_only_where_enough_documents_stand_behind(report: ContextReport):
    garden = report.sets[0]
    garden.rows[1].gains[ALONE][MAIN] = Estimate(0.2, 0.1, 0.3)
    shown = "+0.200 (+0.100 to +0.300)"
    assert f"| {shown} |" in as_markdown(report)
    garden.counts["documents"] = 10
    assert f"| **{shown}** |" in as_markdown(report)


def test_the_plot_is_the_same_every_time(report: ContextReport, tmp_path: Path):
    pytest.importorskip("matplotlib")
    files = [tmp_path / "one.png", tmp_path / "other.png"]
    assert all(draw(report, file) for file in files)
    one, other = (file.read_bytes() for file in files)
    assert one.startswith(b"\x89PNG")
    assert one == other
    nothing = replace(report, sets=(replace(report.sets[0], positions={}),))
    assert not draw(nothing, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
