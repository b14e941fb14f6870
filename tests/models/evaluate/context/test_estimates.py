from dataclasses import replace

import numpy as np
import pytest

from models.evaluate import RetrievalSet
from models.evaluate.bootstrap import Estimate, Resampling
from models.evaluate.context.estimates import Estimator, best_free, report_rows
from models.evaluate.context.rows import ALONE, NOTHING, OFF, OTHER, OWN, SECOND_LOOK
from models.evaluate.context.scores import Scored
from models.evaluate.data import Query
from models.evaluate.metrics import RETRIEVAL_METRICS

RANDOM = np.random.default_rng(4)


def corpus(per_document: int, documents: int = 40) -> RetrievalSet:
    queries = tuple(Query("?", d, (d,)) for d in range(documents) for _ in range(per_document))
    names = tuple(f"document {d}" for d in range(documents))
    texts = tuple((f"Topic{'abcdefgh'[d % 8]} text",) for d in range(documents))
    return RetrievalSet("x", texts, queries, {}, names, names)


def width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def of_all(values: np.ndarray) -> dict[str, np.ndarray]:
    return dict.fromkeys(RETRIEVAL_METRICS, values)


def scored(id_: str, values: np.ndarray, kind: str = "memory", **more: object) -> Scored:
    return Scored(id_, kind, of_all(values), 0.0, **more)  # type: ignore[arg-type]


def test_documents_are_resampled_with_all_their_queries():
    """More queries on the same documents say no more if they all say the same."""
    of_documents = RANDOM.normal(0, 1, 40)
    few, many = (Estimator(corpus(n), "all", Resampling()) for n in (1, 10))
    one = few.mean(of_documents, few.kept)
    ten = many.mean(np.repeat(of_documents, 10), many.kept)
    assert (ten.value, ten.low, ten.high) == pytest.approx((one.value, one.low, one.high))
    independent = many.mean(RANDOM.permutation(np.repeat(of_documents, 10)), many.kept)
    assert width(independent) < 0.6 * width(ten)


def test_gains_are_paired():
    estimator = Estimator(corpus(3), "all", Resampling())
    values = RANDOM.normal(0, 1, 120)
    gain = estimator.gain(of_all(values + 0.1), of_all(values), estimator.kept)
    for estimate in gain.values():
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.1, 0.1))


def test_only_the_half_counts():
    data = corpus(2)
    halves = [Estimator(data, half, Resampling(0, 20)) for half in ("selection", "report", "all")]
    values = RANDOM.normal(0, 1, 80)
    kept = [estimator.kept for estimator in halves]
    assert (kept[0] ^ kept[1]).all()
    assert kept[2].all()
    for estimator in halves:
        found = estimator.figures(of_all(values), estimator.kept)
        assert found["r@1"].value == pytest.approx(values[estimator.kept].mean())
        assert estimator.counts()["queries"] == estimator.kept.sum()
        assert estimator.counts()["documents"] == estimator.kept.sum() / 2


def test_the_best_free_row_is_chosen_on_the_selection_half():
    good, bad = np.ones(4), np.zeros(4)
    rows = [
        replace(scored("alone", good, "alone"), selection=0.9),
        replace(scored("title", good, "title"), selection=0.8),
        replace(scored("lucky", good, "training-free"), selection=0.1),
        replace(scored("chosen", bad, "training-free"), selection=0.2),
        replace(scored("memory", good), selection=0.7),
    ]
    assert best_free(rows).id == "chosen"


def test_every_row_meets_its_rivals():
    data = corpus(1)
    estimator = Estimator(data, "all", Resampling(0, 20))
    rows = [scored(ALONE, np.zeros(40), "alone"), scored("free", np.full(40, 0.2), "training-free")]
    for model, worth in (("m", 0.5), ("n", 0.4)):
        rows += [
            scored(
                f"{model}: {control}", np.full(40, worth - 0.1 * i), model=model, control=control
            )
            for i, control in enumerate((OWN, SECOND_LOOK, OFF, OTHER, NOTHING))
        ]
    found = {row.id: row for row in report_rows(rows, estimator)}
    assert set(found[ALONE].gains) == {"free"}
    assert set(found["free"].gains) == {ALONE}
    controls = {f"m: {control}" for control in (OFF, OTHER, NOTHING)}
    assert set(found[f"m: {OWN}"].gains) == {ALONE, "free", *controls}
    assert set(found[f"m: {SECOND_LOOK}"].gains) == {ALONE, "free", *controls}
    assert set(found[f"m: {OTHER}"].gains) == {ALONE, "free"}
    gains = found[f"m: {OWN}"].gains
    assert gains["free"]["r@1"].value == pytest.approx(0.3)
    assert gains[f"m: {OTHER}"]["r@1"].value == pytest.approx(0.3)
    assert found[f"n: {OWN}"].gains[f"n: {NOTHING}"]["r@1"].value == pytest.approx(0.4)


def test_strata_hold_the_gain_of_their_queries_alone():
    data = corpus(1)
    data = replace(data, titles=("Topica",) * 40)
    estimator = Estimator(data, "all", Resampling(0, 20))
    named = np.array([d % 8 == 0 for d in range(40)])
    assert estimator.counts() == {
        "documents": 40,
        "queries": 40,
        "queries named": 5,
        "queries unnamed": 35,
    }
    rows = [
        scored(ALONE, np.zeros(40), "alone"),
        scored("free", np.where(named, -0.1, 0.2), "training-free"),
    ]
    alone, free = report_rows(rows, estimator)
    assert alone.strata == {}
    assert free.strata["named"]["r@1"].value == pytest.approx(-0.1)
    assert free.strata["unnamed"]["r@1"].value == pytest.approx(0.2)
    everywhere = replace(data, documents=(("Topica",),) * 40)
    rows = list(report_rows(rows, Estimator(everywhere, "all", Resampling(0, 20))))  # type: ignore[arg-type]
    assert set(rows[1].strata) == {"named"}  # type: ignore[attr-defined]


def test_links_by_distance_and_passkeys(linked: RetrievalSet):
    estimator = Estimator(linked, "all", Resampling(0, 20))
    values = dict.fromkeys(RETRIEVAL_METRICS, np.array([0, 0, 0, 0, 1, 0.5]))
    values["link"] = np.array([1, 0, 0, 0, np.nan, np.nan])
    assert {d: e.value for d, e in estimator.link(values).items()} == {1: 0.5, 2: 0.0}
    passkey = estimator.passkey(values)
    assert passkey is not None
    assert passkey.value == 0.75
    reported = Estimator(linked, "report", Resampling(0, 20))
    assert {d: e.value for d, e in reported.link(values).items()} == {1: 1.0, 2: 0.0}
    without = Estimator(corpus(1), "all", Resampling(0, 20))
    assert without.link({}) == {}
    assert without.passkey({}) is None
