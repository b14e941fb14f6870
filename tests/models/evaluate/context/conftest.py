"""A plan over small random encoders that have the same weights but for what they do with a memory."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from models.config import AttentionOptions
from models.evaluate import RetrievalSet, SentencePairs, Variant, Watch
from models.evaluate.bootstrap import Resampling
from models.evaluate.context import ContextPlan
from models.evaluate.context.bench import Bench
from models.evaluate.data import Query
from models.evaluate.watch import Unwatched
from models.tokenizer import Tokenizer
from tests.models.conftest import tiny
from tests.models.evaluate.conftest import small

DOCUMENTS = (
    ("anna keeps bees", "x" * 50, "the bees sleep", "she sells the honey they made to a shop"),
    ("", "a lamp"),
    ("one chunk of a chess club",),
    ("lava", "a new black beach", "tremors"),
)
"""Of four, two, one and three chunks; the second and the last of the first have two segments."""


@pytest.fixture
def base(tokenizer: Tokenizer) -> Variant:
    return small("multi-head", tokenizer)


@pytest.fixture
def infini(tokenizer: Tokenizer) -> Variant:
    return small("infini", tokenizer)


@pytest.fixture
def attenuate(infini: Variant) -> Callable[[float, int], Variant]:
    def weaken(gate: float, first: int) -> Variant:
        options = AttentionOptions(gate_logit=math.log(gate / (1 - gate)), memory_from=first)
        return replace(infini, id=f"weak {gate}", encoder=tiny("infini", options))

    return weaken


@pytest.fixture
def linked() -> RetrievalSet:
    """Two documents, one in each half, with links one and two chunks apart, and a passkey."""
    queries = [
        Query("bees", d, (4 * d + chunk,), "link", distance)
        for d in range(2)
        for chunk, distance in ((1, 1), (3, 2))
    ]
    queries += [Query("honey", d, (4 * d,), "passkey") for d in range(2)]
    documents = (DOCUMENTS[0], ("lava", "a new beach", "tremors", "of a volcano"))
    return RetrievalSet("linked", documents, tuple(queries), {}, ("bees", "chess"), ("", ""))


@pytest.fixture
def plan(
    garden: RetrievalSet,
    pairs: SentencePairs,
    base: Variant,
    infini: Variant,
    attenuate: Callable[[float, int], Variant],
) -> ContextPlan:
    return ContextPlan((garden,), pairs, base, attenuate, (infini,), "report", Resampling(0, 50))


@pytest.fixture
def bench(plan: ContextPlan, garden: RetrievalSet) -> Bench:
    return Bench.of(plan, garden, Unwatched())


def bench_of(plan: ContextPlan, data: RetrievalSet, watch: Watch | None = None) -> Bench:
    return Bench.of(replace(plan, sets=(data,)), data, watch or Unwatched())
