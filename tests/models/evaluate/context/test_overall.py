"""Means over sets: each set counts the same, gains are paired, and sets are resampled apart from each other."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluate.bootstrap import Estimate, Resampling
from models.evaluate.context.estimates import Estimator
from models.evaluate.context.overall import BEST_FREE, Compared, overall
from models.evaluate.context.report import OverallRow
from models.evaluate.context.rows import ALONE, OFF, OWN
from models.evaluate.context.scores import MAIN, Scored
from tests.models.evaluate.context.test_estimates import corpus, of_all, scored, width

RESAMPLING = Resampling(0, 400)
DOCUMENTS = {"large": 60, "small": 20}


def memory(model: str, control: str, values: NDArray[np.float64]) -> Scored:
    return scored(f"{model}: {control}", values, model=model, control=control)


def compared(name: str, *, models: tuple[str, ...] = ("infini",)) -> Compared:
    """Return a set whose rows are noise: the memory's gains 0.1 over the chunk alone in every query."""
    count = DOCUMENTS[name]
    draw = np.random.default_rng(count)
    alone, free, off = draw.normal(0, 1, (3, count))
    rows = [
        scored(ALONE, alone, "alone"),
        replace(scored("one", free, "training-free"), selection=float(name == "large")),
        replace(scored("two", free - 1, "training-free"), selection=0.5),
    ]
    for place, model in enumerate(models):
        rows += [memory(model, OWN, alone + 0.1 + place), memory(model, OFF, off)]
    data = replace(corpus(1, count), name=name)
    return Compared(name, rows, Estimator(data, "all", RESAMPLING))


def found(*sets: Compared) -> dict[str, OverallRow]:
    return {row.id: row for row in overall(sets)}


def values(of: Compared, id_: str) -> NDArray[np.float64]:
    return of.row(id_).values[MAIN]


def test_what_is_gained_in_every_query_is_gained_in_every_resample():
    gain = found(compared("large"), compared("small"))[f"infini: {OWN}"].gains[ALONE]
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1))


def test_sets_count_the_same_and_are_drawn_apart():
    large, small = sets = compared("large"), compared("small")
    gain = found(*sets)[f"infini: {OWN}"].gains[OFF]
    means, squares = [], []
    for one in sets:
        gains = values(one, f"infini: {OWN}") - values(one, f"infini: {OFF}")
        means.append(gains.mean())
        squares.append(gains.var() / len(gains))
    assert gain.value == pytest.approx(np.mean(means))
    # Independent means: the half width of 95 % is 1.96 standard errors of half their sum.
    assert width(gain) / 2 == pytest.approx(1.96 * np.sqrt(sum(squares)) / 2, rel=0.15)
    assert found(small, large)[f"infini: {OWN}"].gains[OFF] == gain


def test_the_best_free_row_is_each_sets_own():
    sets = compared("large"), compared("small")
    rows = found(*sets)
    best = [values(of, id_) for of, id_ in zip(sets, ("one", "two"), strict=True)]
    assert rows[BEST_FREE].by_set == pytest.approx(
        {of.name: row.mean() for of, row in zip(sets, best, strict=True)}
    )
    gains = [
        (values(of, f"infini: {OWN}") - row).mean() for of, row in zip(sets, best, strict=True)
    ]
    assert rows[f"infini: {OWN}"].gains[BEST_FREE].value == pytest.approx(np.mean(gains))
    assert BEST_FREE not in rows[BEST_FREE].gains
    assert OFF not in rows[BEST_FREE].gains
    assert OFF not in rows[f"infini: {OFF}"].gains


def test_rows_that_a_set_lacks_and_seeds_behind_a_mean_are_left_out():
    models = ("infini 0", "infini 1", "infini, mean of 2", "infini-plus")
    large, small = (compared(name, models=models) for name in DOCUMENTS)
    large = replace(large, rows=[*large.rows, scored("title", values(large, ALONE), "title")])
    kept = {f"{model}: {control}" for model in models[2:] for control in (OWN, OFF)}
    assert found(large, small).keys() == {ALONE, "one", "two", BEST_FREE, *kept}


def test_a_set_of_one_document_leaves_no_interval():
    large, small = compared("large"), compared("small")
    data = replace(corpus(1, 1), name="single")
    rows = [replace(row, values=of_all(row.values[MAIN][:1])) for row in small.rows]
    single = Compared("single", rows, Estimator(data, "all", RESAMPLING))
    gain = found(large, single)[f"infini: {OWN}"].gains[ALONE]
    assert gain == Estimate(gain.value, None, None)
    assert gain.value == pytest.approx(0.1)
