"""One named experiment for each promise about speed."""

from collections.abc import Mapping
from typing import Final

from loadtests.bench.experiments import compute, process, reading, scale, sessions, stateless
from loadtests.bench.experiments.base import Experiment

EXPERIMENTS: Final[Mapping[str, Experiment]] = {
    one.name: one
    for one in (
        scale.COLD_START,  # first: no other server runs yet
        stateless.BATCHES,
        process.HTTP_OVER_PROCESS,
        stateless.QUERY,
        stateless.SINGLES,
        sessions.SESSIONS_OVER_STATELESS,
        reading.FLAT,
        sessions.QUERY_BESIDE_BOOKS,
        scale.REPLICAS,
        scale.OVERLOAD,
        compute.GEMM_BOUND,
        compute.RECOMPUTE,
        stateless.CURVE,
        sessions.TRANSCRIPTS,
        sessions.FORKS,
    )
}
"""In the order in which they run."""
