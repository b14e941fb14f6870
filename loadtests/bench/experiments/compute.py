"""How near the forward pass is to the machine's arithmetic, and how far a memory is from recomputing."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Final

from loadtests.bench.arithmetic import (
    continue_seconds,
    cost_of_token,
    fastest,
    gemm_rate,
    recompute_seconds,
    whole_seconds,
)
from loadtests.bench.bench import Bench, Settings
from loadtests.bench.experiments.base import Experiment, numbers_of
from loadtests.bench.generate import by_session
from loadtests.bench.load import closed_loop
from loadtests.bench.measure import figures
from loadtests.bench.peers import STATELESS, WEIGHTS
from loadtests.bench.result import Curve, Result
from loadtests.bench.rounds import Spread, Verdict, ratio
from loadtests.bench.target import HttpTarget
from models.config import AttentionOptions
from models.encoder import Encoder
from models.inference import ready
from models.loading import LoadedEncoder, load_encoder, use_threads
from models.packing import Segment

_SEGMENT: Final = 256
_STEP: Final = 2048
_REPEATS: Final = 10
_OF_BOUND: Final = 0.90
_LENGTHS: Final = (4096, 16_384, 65_536)


async def _gemm_bound(bench: Bench, experiment: Experiment) -> Result:
    threads = os.cpu_count() or 1
    use_threads(threads)
    loaded = ready(
        await asyncio.to_thread(load_encoder, STATELESS, WEIGHTS, AttentionOptions(), "none")
    )
    segments = _full_segments(bench, loaded)
    config = loaded.encoder.config
    cost = cost_of_token(config, _SEGMENT)
    bounds, reached = [], []
    for _ in range(bench.settings.rounds):
        bounds.append(await asyncio.to_thread(gemm_rate, config, _STEP, _REPEATS) / cost.total)
        reached.append(await asyncio.to_thread(_pace, loaded.encoder, segments))
    notes = [
        (
            f"a token costs {cost.linear / 1e6:.1f}M operations in linear layers and "
            f"{cost.attention / 1e6:.1f}M in attention; {threads} threads"
        )
    ]
    rows = {"GEMM bound": bounds, "packed forward": reached}
    return Result(
        experiment.name,
        experiment.title,
        {name: {"tokens_per_s": Spread.of(values)} for name, values in rows.items()},
        [Verdict("tokens/s, packed forward over bound", ratio(reached, bounds), _OF_BOUND)],
        notes=notes,
    )


def _full_segments(bench: Bench, loaded: LoadedEncoder) -> list[Segment]:
    """Return one step of segments that fill the window exactly."""
    texts = [request.texts[0] for request in bench.requests("full")[: _STEP // _SEGMENT]]
    return [segments[0] for segments in loaded.tokenizer.segments(texts)]


def _pace(encoder: Encoder, segments: Sequence[Segment]) -> float:
    """Return the tokens a second of the fastest step."""
    tokens = sum(len(segment.ids) for segment in segments)
    return tokens / fastest(lambda: _forward(encoder, segments), _REPEATS)


def _forward(encoder: Encoder, segments: Sequence[Segment]) -> None:
    encoder(segments)


async def _recompute(bench: Bench, experiment: Experiment) -> Result:
    """Compare an append over HTTP, durable and all, with full attention over the document so far in process."""
    served = await bench.fleet.ours()
    use_threads(os.cpu_count() or 1)
    encoder = await asyncio.to_thread(load_encoder, STATELESS, WEIGHTS, AttentionOptions(), "none")
    config, whole = encoder.encoder.config, bench.settings.whole
    appends: list[float] = []
    again: dict[int, list[float]] = {tokens: [] for tokens in _LENGTHS}
    cached: dict[int, list[float]] = {tokens: [] for tokens in _LENGTHS}
    for _ in range(bench.settings.rounds):
        appends.append(await _append_s(bench, served))
        for tokens in _LENGTHS:
            compute = whole_seconds if tokens <= whole else recompute_seconds
            again[tokens].append(await asyncio.to_thread(compute, config, tokens))
            kept_s = await asyncio.to_thread(continue_seconds, config, tokens, _SEGMENT)
            cached[tokens].append(kept_s)
    speed_ups = {tokens: ratio(seconds, appends) for tokens, seconds in again.items()}
    beside_cache = {tokens: ratio(seconds, appends) for tokens, seconds in cached.items()}
    rows = {"append": appends}
    rows |= {f"recomputing {tokens:,} tokens": seconds for tokens, seconds in again.items()}
    rows |= {f"kept keys and values, {tokens:,}": seconds for tokens, seconds in cached.items()}
    return Result(
        experiment.name,
        experiment.title,
        {name: {"seconds": Spread.of(values)} for name, values in rows.items()},
        [
            Verdict(f"recomputing {tokens:,} tokens over appending the next chunk", spread)
            for tokens, spread in speed_ups.items()
        ],
        notes=[
            (
                f"over {whole:,} tokens (`--whole`), recomputing is estimated from 1,024 of the document's rows "
                "against all keys and values; up to there it is run"
            ),
            "keys and values can be kept by causal models only; they grow with the document",
        ],
        curves=[
            _speed_up("recomputing the document", speed_ups),
            _speed_up("causal, keys and values kept", beside_cache),
        ],
    )


async def _append_s(bench: Bench, served: HttpTarget) -> float:
    """Return the median seconds of appending one chunk to a session that nobody competes with."""
    unit = by_session(bench.requests("live"))[0]
    await served.open_sessions(numbers_of([unit]))
    outcomes = await closed_loop([unit], served.send, 1, bench.settings.seconds / 2)
    return figures(outcomes, bench.tokens_of).p50_ms / 1e3


def _whole_s(settings: Settings) -> float:
    """Return about how long the lengths take that are recomputed in whole; attention grows with their square."""
    run = [tokens for tokens in _LENGTHS if tokens <= settings.whole]
    return float(sum(3.0 * (tokens / _LENGTHS[0]) ** 1.85 for tokens in run))


def _speed_up(name: str, spreads: Mapping[int, Spread]) -> Curve:
    points = tuple((float(tokens), spread.median) for tokens, spread in spreads.items())
    return Curve(name, "tokens so far", "speed-up, times", points)


GEMM_BOUND: Final = Experiment(
    "gemm-bound",
    "the packed forward pass at segments of 256 tokens beside the matrix products it needs, in process",
    _gemm_bound,
    lambda settings: 6 * settings.rounds + 5,
)
RECOMPUTE: Final = Experiment(
    "recompute",
    "a chunk through the memory beside full attention over the document so far",
    _recompute,
    lambda settings: settings.rounds * (settings.seconds / 2 + 20 + _whole_s(settings)),
)
