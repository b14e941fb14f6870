"""From a workload to its requests: a pure function of the file, the book and the seed."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from loadtests.bench.corpus import Corpus
from loadtests.bench.workload import (
    FixedLength,
    Forks,
    Length,
    Poisson,
    SessionsWorkload,
    TextsWorkload,
    Workload,
)


@dataclass(frozen=True, slots=True)
class Request:
    """Something to send.

    Attributes:
        at_s: When it is meant to start, seconds after the first; 0 for all where the workload has no arrivals.
        texts: What it holds; empty for a fork.
        session: Which session it belongs to; None for a stateless request.
        first_seq: Number of its first chunk in the session.
        parent: Session that this request forks; None for everything else.
    """

    at_s: float
    texts: tuple[str, ...]
    session: int | None = None
    first_seq: int = 0
    parent: int | None = None


def requests_of(workload: Workload, corpus: Corpus) -> list[Request]:
    """Return the requests of a workload in the order of their intended starts."""
    if isinstance(workload, TextsWorkload):
        return _texts(workload, corpus)
    rng = random.Random(workload.seed)  # noqa: S311 - reproducible, no secret
    requests: list[Request] = []
    for session in range(workload.sessions):
        requests += _session(workload, corpus, rng, session)
    return sorted(requests, key=lambda request: request.at_s)  # stable: a session keeps its order


def at_rate(requests: Sequence[Request], per_s: float) -> list[Request]:
    """Return the same requests at another mean rate, the pattern of their starts stretched.

    Raises:
        ValueError: the requests have no intended starts.
    """
    span_s = requests[-1].at_s if requests else 0.0
    if span_s <= 0:
        raise ValueError("requests without arrivals have no rate; give the workload arrivals")
    factor = (len(requests) - 1) / span_s / per_s
    return [replace(request, at_s=request.at_s * factor) for request in requests]


def by_session(requests: Sequence[Request]) -> list[list[Request]]:
    """Return the requests of each session in order; a fork and what follows go with their parent."""
    roots: dict[int, int] = {}
    units: dict[int, list[Request]] = {}
    for request in requests:
        if request.session is None:
            raise ValueError("stateless requests belong to no session")
        root = roots.setdefault(
            request.session,
            request.session if request.parent is None else roots[request.parent],
        )
        units.setdefault(root, []).append(request)
    return list(units.values())


def _texts(workload: TextsWorkload, corpus: Corpus) -> list[Request]:
    rng = random.Random(workload.seed)  # noqa: S311 - reproducible, no secret
    lengths = _lengths(workload.tokens, rng)
    starts = _starts(workload, rng)
    return [
        Request(next(starts), tuple(corpus.draw(rng, next(lengths)) for _ in range(workload.texts)))
        for _ in range(workload.requests)
    ]


def _session(
    workload: SessionsWorkload, corpus: Corpus, rng: random.Random, session: int
) -> Iterator[Request]:
    """Yield one session's requests, and those of its forks after them."""
    every_s = workload.arrivals.every_s if workload.arrivals else 0.0
    start_s = rng.random() * every_s
    texts = corpus.read(rng.randrange(len(corpus)), _lengths(workload.tokens, rng))
    for index in range(workload.requests):
        chunks = tuple(itertools.islice(texts, workload.chunks))
        yield Request(start_s + index * every_s, chunks, session, index * workload.chunks)
    if workload.forks is not None:
        forked_s = start_s + workload.forks.after * every_s
        for child in range(workload.forks.children):
            number = workload.sessions + session * workload.forks.children + child
            place = corpus.read(rng.randrange(len(corpus)), _lengths(workload.tokens, rng))
            yield from _child(workload, workload.forks, place, (session, number), forked_s)


def _child(
    workload: SessionsWorkload,
    forks: Forks,
    texts: Iterator[str],
    names: tuple[int, int],
    forked_s: float,
) -> Iterator[Request]:
    """Yield a fork and what its session reads on from there."""
    parent, number = names
    every_s = workload.arrivals.every_s if workload.arrivals else 0.0
    past = forks.after * workload.chunks
    yield Request(forked_s, (), number, past, parent)
    for index in range(forks.requests):
        chunks = tuple(itertools.islice(texts, workload.chunks))
        at_s = forked_s + (index + 1) * every_s
        yield Request(at_s, chunks, number, past + index * workload.chunks)


def _lengths(length: Length, rng: random.Random) -> Iterator[int]:
    if isinstance(length, FixedLength):
        yield from itertools.repeat(length.tokens)
        return
    while True:
        drawn = rng.lognormvariate(math.log(length.median), length.sigma)
        yield min(max(round(drawn), length.min), length.max)


def _starts(workload: TextsWorkload, rng: random.Random) -> Iterator[float]:
    arrivals = workload.arrivals
    at_s = 0.0
    while True:
        yield at_s
        if arrivals is None:
            continue
        at_s += (
            rng.expovariate(arrivals.per_s) if isinstance(arrivals, Poisson) else 1 / arrivals.per_s
        )
