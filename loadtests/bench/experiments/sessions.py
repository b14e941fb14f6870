"""Sessions under load: what they cost beside stateless texts, and what they do to short queries."""

import asyncio
import math
from functools import partial
from typing import Final

from loadtests.bench.bench import Bench, Settings, endless
from loadtests.bench.checks import check_fork, check_order, check_session
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments.base import (
    Experiment,
    Load,
    compared,
    numbers_of,
    require_answered,
)
from loadtests.bench.generate import Request, at_rate, by_session
from loadtests.bench.load import closed_loop, open_loop
from loadtests.bench.measure import Figures, figures
from loadtests.bench.peers import SESSIONS
from loadtests.bench.result import Result, rows_of
from loadtests.bench.rounds import Spread, Verdict, alternate
from loadtests.bench.target import HttpTarget

_LIVE: Final = 16
_PROMISED: Final = 0.90
_STEP_TEXTS: Final = 8
"""Texts of a whole window that fill one step of 2,048 tokens."""
_STEP_REQUESTS: Final = 12
_SLACK_MS: Final = 10.0
_STEPS: Final = 2
_QUERIES_PER_S: Final = 20.0
_FORKERS: Final = 8


async def _over_stateless(bench: Bench, experiment: Experiment) -> Result:
    live = by_session(bench.requests("live"))
    served = await bench.fleet.ours_with(SESSIONS)
    opened = partial(served.open_sessions, numbers_of(live))
    appends = Load(bench, served, lambda: live, _LIVE, opened)
    plain = Load(bench, served, partial(endless, bench.requests("full")), _LIVE)
    sides = {"sessions": appends, "stateless": plain}
    rounds = await alternate(sides, bench.settings.rounds)
    checked = check_order(appends.last)
    same = await check_session(served, appends.last)
    value = compared(rounds, "tokens_per_s", "sessions", "stateless")
    return Result(
        experiment.name,
        experiment.title,
        rows_of(rounds),
        [Verdict("tokens/s, sessions over stateless", value, _PROMISED)],
        {"read again alone": same},
        [f"{checked} chunks of the last round have the sequence numbers they were sent with"],
    )


async def _beside_books(bench: Bench, experiment: Experiment) -> Result:
    """Ask short questions while four books are read by the same model."""
    served = await bench.fleet.ours_with(SESSIONS)
    step_ms = await _step_ms(bench, served)
    calm, beside = [], []
    for _ in range(bench.settings.rounds):
        calm.append(await _questions(bench, served))
        beside.append(await _questions_beside(bench, served))
    bound_ms = _STEPS * step_ms + _SLACK_MS
    shares = Spread.of([found.p99_ms / bound_ms for found in beside])
    what = f"p99 beside books over two steps and 10 ms ({bound_ms:.0f} ms)"
    notes = [f"a request that fills a step takes {step_ms:.0f} ms alone, HTTP included"]
    return Result(
        experiment.name,
        experiment.title,
        rows_of({"alone": calm, "beside four books": beside}),
        [Verdict(what, shares, 1.0, at_least=False)],
        notes=notes,
    )


async def _step_ms(bench: Bench, served: HttpTarget) -> float:
    texts = [request.texts[0] for request in bench.requests("full")[:_STEP_TEXTS]]
    full = [(Request(0.0, tuple(texts)),) for _ in range(_STEP_REQUESTS)]
    found = await closed_loop(full, served.send, 1, bench.settings.seconds)
    return figures(found, bench.tokens_of).p50_ms


async def _questions(bench: Bench, served: HttpTarget) -> Figures:
    count = max(_LIVE, round(_QUERIES_PER_S * bench.settings.seconds))
    planned = at_rate(bench.requests("chat"), _QUERIES_PER_S)[:count]
    found = await open_loop(planned, served.send)
    require_answered(found, "a question")
    return figures(found, bench.tokens_of)


async def _questions_beside(bench: Bench, served: HttpTarget) -> Figures:
    books = by_session(bench.requests("books"))
    await served.open_sessions(numbers_of(books))
    seconds = bench.settings.seconds + bench.settings.warm_up_s
    reading = asyncio.create_task(closed_loop(books, served.send, len(books), seconds))
    await asyncio.sleep(bench.settings.warm_up_s)
    found = await _questions(bench, served)
    read = await reading
    require_answered(read, "a book")
    check_order(read)
    return found


async def _transcripts(bench: Bench, experiment: Experiment) -> Result:
    """Read a thousand live transcripts, as they are spoken."""
    served = await bench.fleet.ours()
    everything = bench.requests("transcripts")
    live = numbers_of([everything])
    await served.open_sessions(live)
    until_s = bench.settings.seconds * bench.settings.rounds
    planned = [one for one in everything if one.at_s < until_s]
    outcomes = await open_loop(planned, served.send)
    found = figures(outcomes, bench.tokens_of)
    checked = check_order(outcomes)
    same = await check_session(served, outcomes)
    notes = [
        f"{len(live)} sessions are live, {len(planned)} of their chunks come in {until_s:.0f} s",
        f"{checked} chunks in order, {found.failed} failed",
    ]
    rows = rows_of({"longstream": [found]})
    return Result(experiment.name, experiment.title, rows, (), {"read again alone": same}, notes)


async def _forks(bench: Bench, experiment: Experiment) -> Result:
    """Read documents, fork them and read on, all of the workload however long it takes."""
    served = await bench.fleet.ours()
    units = by_session(bench.requests("forks"))
    await served.open_sessions(numbers_of(units))
    outcomes = await closed_loop(units, served.send, _FORKERS, math.inf)
    found = figures(outcomes, bench.tokens_of)
    if found.failed or found.refused:
        reason = next(one.answer.detail for one in outcomes if not one.ok)
        raise BenchError(f"forks failed: {reason}")
    forks = [one for one in outcomes if one.request.parent is not None]
    same = await check_fork(served, outcomes)
    rows = rows_of({"all requests": [found], "forks": [figures(forks, bench.tokens_of)]})
    notes = [f"{len(forks)} forks; {check_order(outcomes)} chunks in order"]
    agreements = {"one child's whole past read again alone": same}
    return Result(experiment.name, experiment.title, rows, (), agreements, notes)


def _cost(settings: Settings) -> float:
    return 2 * settings.rounds * (settings.seconds + 4)


SESSIONS_OVER_STATELESS: Final = Experiment(
    "sessions-over-stateless",
    "16 live sessions, a chunk of 256 tokens a request, beside the same lengths without sessions",
    _over_stateless,
    _cost,
)
QUERY_BESIDE_BOOKS: Final = Experiment(
    "query-beside-books",
    "queries of 12 tokens, 20 a second, while the same model reads four books",
    _beside_books,
    lambda settings: _cost(settings) + 5,
)
TRANSCRIPTS: Final = Experiment(
    "transcripts",
    "a thousand live transcripts",
    _transcripts,
    lambda settings: settings.rounds * settings.seconds + 15,
)
FORKS: Final = Experiment(
    "forks",
    "documents that eight readers each continue in their own way",
    _forks,
    lambda _: 30.0,
)
