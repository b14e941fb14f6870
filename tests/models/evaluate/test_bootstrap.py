import numpy as np
import pytest

from models.evaluate.bootstrap import Figure, Resampling, Statistic, cluster_mean

RANDOM = np.random.default_rng(11)


def mean_of(values: np.ndarray) -> tuple[int, Statistic]:
    return cluster_mean(values, np.arange(len(values)))


def test_the_interval_of_a_mean_is_the_textbooks():
    values = RANDOM.normal(3, 2, 400)
    found = Resampling(0, 4000).figure("normal", *mean_of(values)).estimate()
    assert found.value == pytest.approx(values.mean())
    assert found.low is not None
    assert found.high is not None
    error = values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_all_of_a_cluster_move_together():
    """Ten copies of a value in one cluster say no more than one: the interval must not shrink."""
    values = RANDOM.normal(0, 1, 50)
    once = Resampling().figure("x", *mean_of(values)).estimate()
    copies, labels = np.repeat(values, 10), np.repeat(np.arange(50) * 7, 10)
    tenfold = Resampling().figure("x", *cluster_mean(copies, labels)).estimate()
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))
    split = Resampling().figure("y", *mean_of(copies)).estimate()
    assert width(split) < 0.5 * width(once)


def width(estimate) -> float:
    return float(estimate.high - estimate.low)


def test_large_clusters_weigh_more():
    count, mean = cluster_mean(np.array([1.0, 0.0, 0.0, 0.0]), np.array([5, 9, 9, 9]))
    assert count == 2
    assert mean(np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])).tolist() == [0.25, 1, 0]


def test_differences_are_paired():
    """What moves both figures alike cancels out: a constant gain has no spread at all."""
    values = RANDOM.normal(0, 1, 30)
    draw = Resampling(4, 300)
    base, better = (draw.figure("x", *mean_of(v)) for v in (values, values + 0.1))
    gain = better.minus(base).estimate()
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1))
    other = draw.figure("z", *mean_of(values + 0.1)).minus(base).estimate()
    assert width(other) > 0.2


def test_the_stream_depends_on_seed_and_name_alone():
    values = mean_of(RANDOM.normal(0, 1, 20))

    def replicates(seed: int, name: str) -> list[float]:
        return list(Resampling(seed, 700).figure(name, *values).replicates)

    first = replicates(0, "x")
    assert len(first) == 700
    assert replicates(0, "x") == first
    assert replicates(1, "x") != first
    assert replicates(0, "y") != first


def test_a_single_unit_has_no_interval():
    figure = Resampling().figure("x", *mean_of(np.array([0.5])))
    assert figure.estimate() == figure.minus(Figure(0.0, np.empty(0))).estimate()
    assert (figure.estimate().value, figure.estimate().low, figure.estimate().high) == (
        0.5,
        None,
        None,
    )
