"""What an evaluation of context reads and compares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from models.evaluate.bootstrap import Resampling
from models.evaluate.context.halves import Half, queries_of
from models.evaluate.data import RetrievalSet, SentencePairs
from models.evaluate.errors import EvaluationError
from models.evaluate.variant import Variant

GATES: Final = (0.05, 0.1, 0.12, 0.2, 0.27, 0.35)
"""Shares of attention that are taken away in all layers where attenuation is looked at by itself."""
UPPER_GATES: Final = (0.2, 0.35, 0.5)
"""The same in the upper half of the layers alone, where `infini-plus` takes some away, too."""
POSITIONS: Final = (0, 5_000, 20_000, 100_000)
"""Tokens read before a document, where gains by position are asked for."""
FAR: Final = (500_000,)
"""Where the furthest position is asked for as well."""
SAMPLE: Final = 8
"""Documents of a set that are ranked at each position."""


@dataclass(frozen=True)
class ContextPlan:
    """What an evaluation of context reads and compares.

    Attributes:
        sets: Retrieval sets with the names of their documents.
        pairs: Sentence pairs that an empty memory must not change, or None.
        base: The checkpoint as it is; encodes the queries, and the chunks alone.
        attenuate: From a gate g in (0, 1) and a first layer to a variant with memory, of the checkpoint's own weights,
            all gates of which are g from that layer on.
        models: Variants with memory; several of one attention are taken as seeds of one training.
        half: What is reported; weights are chosen on the selection half in any case.
        resampling: For intervals, and the seed of all draws.
        second_look: Read each chunk once more with the memory of the whole document.
        positions: Tokens read before a document, ascending; empty leaves gains by position out.
        sample: Documents of a set that are ranked at each position.
        bf16: Multiply matrices in bfloat16, for all rows, but where a memory is float32 in any case: a CPU that can is
            several times as fast. What an empty memory changes is always looked at in float32.

    Raises:
        EvaluationError: the parts do not fit each other, or a half of a set has no query.
    """

    sets: tuple[RetrievalSet, ...]
    pairs: SentencePairs | None
    base: Variant
    attenuate: Callable[[float, int], Variant]
    models: tuple[Variant, ...]
    half: Half
    resampling: Resampling
    second_look: bool = False
    positions: tuple[int, ...] = ()
    sample: int = SAMPLE
    bf16: bool = False

    def __post_init__(self) -> None:
        if not self.sets:
            raise EvaluationError("there is no retrieval set to evaluate context on")
        for kind, names in (
            ("sets", [data.name for data in self.sets]),
            ("models", [model.id for model in self.models]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise EvaluationError(f"{kind} named more than once: {', '.join(twice)}")
        if self.base.encoder.has_memory:
            raise EvaluationError(f"model {self.base.id} cannot be the base: it has a memory")
        for model in self.models:
            if not model.encoder.has_memory:
                raise EvaluationError(f"model {model.id} has no memory: it reads chunks alone")
        for data in self.sets:
            _require_halves(data)


def _require_halves(data: RetrievalSet) -> None:
    if len(data.doc_ids) != len(data.documents):
        raise EvaluationError(f"set {data.name}: its documents have no names to be halved by")
    halves: tuple[Half, ...] = ("selection", "report")
    for half in halves:
        if not queries_of(data, half).any():
            raise EvaluationError(
                f"set {data.name}: its {half} half has no query; it takes more documents"
            )
