"""How near the forward pass is to the machine's arithmetic, and how far a memory is from recomputing."""

import asyncio
import os
from collections.abc import Sequence
from typing import Final

from loadtests.bench.arithmetic import cost_of_token, fastest, gemm_rate, recompute_seconds
from loadtests.bench.bench import Bench
from loadtests.bench.experiments.base import Experiment
from loadtests.bench.generate import by_session
from loadtests.bench.load import closed_loop
from loadtests.bench.measure import figures
from loadtests.bench.peers import STATELESS, WEIGHTS
from loadtests.bench.result import Curve, Result
from loadtests.bench.rounds import Spread, Verdict, ratio
from models.config import AttentionOptions
from models.encoder import Encoder
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
    loaded = await asyncio.to_thread(load_encoder, STATELESS, WEIGHTS, AttentionOptions(), "none")
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
    unit = by_session(bench.requests("live"))[0]
    use_threads(os.cpu_count() or 1)
    loaded = await asyncio.to_thread(load_encoder, STATELESS, WEIGHTS, AttentionOptions(), "none")
    speed_ups: dict[int, list[float]] = {tokens: [] for tokens in _LENGTHS}
    appends = []
    for _ in range(bench.settings.rounds):
        number = unit[0].session
        await served.open_sessions([0 if number is None else number])
        outcomes = await closed_loop([unit], served.send, 1, bench.settings.seconds / 2)
        append_s = figures(outcomes, bench.tokens_of).p50_ms / 1e3
        appends.append(append_s * 1e3)
        for tokens in _LENGTHS:
            whole_s = await asyncio.to_thread(recompute_seconds, loaded.encoder.config, tokens)
            speed_ups[tokens].append(whole_s / append_s)
    spreads = {tokens: Spread.of(values) for tokens, values in speed_ups.items()}
    points = tuple((float(tokens), spread.median) for tokens, spread in spreads.items())
    return Result(
        experiment.name,
        experiment.title,
        {"append": {"p50_ms": Spread.of(appends)}},
        [
            Verdict(f"recomputing {tokens:,} tokens over appending the next chunk", spread)
            for tokens, spread in spreads.items()
        ],
        notes=[
            "full attention is estimated from 1,024 of the document's rows, all keys and values"
        ],
        curves=[Curve("full attention over memory", "tokens so far", "speed-up", points)],
    )


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
    lambda settings: settings.rounds * (settings.seconds / 2 + 8),
)
