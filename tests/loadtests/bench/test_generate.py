import itertools
import statistics

import pytest

from loadtests.bench.generate import Request, at_rate, by_session, requests_of
from loadtests.bench.workload import (
    Even,
    FixedLength,
    Forks,
    LognormalLength,
    Paced,
    Poisson,
    SessionsWorkload,
    TextsWorkload,
)

FIXED = FixedLength(kind="fixed", tokens=12)


def texts(**changes) -> TextsWorkload:
    fields = {"kind": "texts", "seed": 5, "requests": 200, "tokens": FIXED, **changes}
    return TextsWorkload(**fields)


def sessions(**changes) -> SessionsWorkload:
    fields = {"kind": "sessions", "seed": 5, "sessions": 3, "requests": 4, "tokens": FIXED}
    return SessionsWorkload(**{**fields, **changes})


def test_requests_are_a_function_of_the_seed(corpus):
    again = requests_of(texts(), corpus)
    assert requests_of(texts(), corpus) == again
    assert requests_of(texts(seed=6), corpus) != again
    assert requests_of(sessions(), corpus) == requests_of(sessions(), corpus)


def test_texts_have_their_number_and_length(corpus):
    requests = requests_of(texts(texts=3), corpus)
    assert [len(one.texts) for one in requests] == [3] * 200
    assert {corpus.count(text) for one in requests for text in one.texts} == {12}


def test_lognormal_lengths_have_their_median_and_bounds(corpus):
    length = LognormalLength(kind="lognormal", median=40, sigma=0.8, min=10, max=100)
    requests = requests_of(texts(requests=1000, tokens=length), corpus)
    lengths = [corpus.count(one.texts[0]) for one in requests]
    assert 36 < statistics.median(lengths) < 44
    assert (min(lengths), max(lengths)) == (10, 100)


def test_poisson_arrivals_have_their_rate_and_spread(corpus):
    requests = requests_of(texts(requests=2000, arrivals=Poisson(kind="poisson", per_s=50)), corpus)
    starts = [one.at_s for one in requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert starts[0] == 0
    assert statistics.mean(gaps) == pytest.approx(1 / 50, rel=0.1)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.15)


def test_even_arrivals_and_none(corpus):
    even = requests_of(texts(requests=3, arrivals=Even(kind="even", per_s=4)), corpus)
    assert [one.at_s for one in even] == [0, 0.25, 0.5]
    assert {one.at_s for one in requests_of(texts(), corpus)} == {0}


def test_another_rate_stretches_the_pattern(corpus):
    requests = requests_of(texts(arrivals=Poisson(kind="poisson", per_s=50)), corpus)
    faster = at_rate(requests, 100)
    assert (len(faster) - 1) / faster[-1].at_s == pytest.approx(100)
    shares = {
        round(one.at_s / other.at_s, 9)
        for one, other in zip(requests, faster, strict=True)
        if one.at_s
    }
    assert len(shares) == 1
    with pytest.raises(ValueError, match="no rate"):
        at_rate(requests_of(texts(), corpus), 1)


def test_sessions_read_consecutive_chunks_under_consecutive_numbers(corpus):
    units = by_session(requests_of(sessions(chunks=2), corpus))
    assert len(units) == 3
    for unit in units:
        assert [one.first_seq for one in unit] == [0, 2, 4, 6]
        assert all(len(one.texts) == 2 for one in unit)
    assert len({unit[0].texts for unit in units}) == 3


def test_paced_sessions_keep_their_distance_and_begin_apart(corpus):
    paced = sessions(sessions=50, arrivals=Paced(kind="paced", every_s=10))
    requests = requests_of(paced, corpus)
    units = by_session(requests)
    assert [one.at_s for one in requests] == sorted(one.at_s for one in requests)
    for unit in units:
        assert [one.at_s - unit[0].at_s for one in unit] == pytest.approx([0, 10, 20, 30])
    begins = [unit[0].at_s for unit in units]
    assert min(begins) < 2
    assert max(begins) > 8


@pytest.mark.parametrize("arrivals", [None, Paced(kind="paced", every_s=2)])
def test_a_fork_comes_after_its_parents_past_and_goes_on_from_there(corpus, arrivals):
    workload = sessions(arrivals=arrivals, forks=Forks(after=4, children=2, requests=2))
    units = by_session(requests_of(workload, corpus))
    assert len(units) == 3
    for unit in units:
        parent = unit[0].session
        assert [one.session for one in unit[:4]] == [parent] * 4
        children = {one.session for one in unit[4:]}
        assert len(children) == 2
        for child in children:
            own = [one for one in unit if one.session == child]
            assert own[0] == Request(own[0].at_s, (), child, 4, parent)
            assert [one.first_seq for one in own[1:]] == [4, 5]


def test_stateless_requests_have_no_sessions():
    with pytest.raises(ValueError, match="no session"):
        by_session([Request(0.0, ("a",))])
