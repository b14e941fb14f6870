"""What an evaluation of context found, as values, and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from models.evaluate.bootstrap import Estimate, Resampling
from models.evaluate.context.halves import Half
from models.evaluate.report import Source, rounded_json

FORMAT: Final = 1
"""Grows when a key of the JSON changes its meaning."""

ByMetric = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class ContextRow:
    """One way to make chunk vectors.

    Attributes:
        id: Its name.
        kind: See `Scored`.
        model: Id of the model with memory; "" for other rows.
        settings: What was chosen on the selection half.
        figures: By metric.
        gains: Over other rows: by their id, then by metric.
        strata: Gain over the chunk alone where gold chunks name the topic (`named`) and where not (`unnamed`), by
            metric; without a stratum that has no query.
        link: Accuracy among a document's attribute chunks by distance, in chunks.
        passkey: R@1 in the document of passkey queries; None where there are none.
    """

    id: str
    kind: str
    model: str
    settings: Mapping[str, float]
    figures: ByMetric
    gains: dict[str, ByMetric]
    strata: dict[str, ByMetric]
    link: dict[int, Estimate]
    passkey: Estimate | None


@dataclass(frozen=True, slots=True)
class PositionGain:
    """What a model's own memory gains far into a session.

    Attributes:
        tokens: Read before each document.
        documents: That were ranked.
        queries: About them.
        gain: Over the chunk alone in the same corpus, by metric.
    """

    tokens: int
    documents: int
    queries: int
    gain: ByMetric


@dataclass(frozen=True, slots=True)
class SetReport:
    """One set.

    Attributes:
        name: Of the set.
        counts: Documents and queries that are reported, and the queries of each stratum.
        best_free: Id of the training-free row that is best on the selection half.
        rows: All of them.
        positions: By model.
    """

    name: str
    counts: dict[str, int]
    best_free: str
    rows: tuple[ContextRow, ...]
    positions: dict[str, list[PositionGain]]


@dataclass(frozen=True, slots=True)
class OverallRow:
    """One way to make chunk vectors, over all sets.

    Attributes:
        id: Its name.
        by_set: nDCG@10 by set.
        mean: Of them.
        gains: Of the mean: over the chunk alone (also `in document`, and where gold chunks name the topic or not), over
            the best training-free row of each set, and over a memory's own controls, by their names.
    """

    id: str
    by_set: dict[str, float]
    mean: float
    gains: dict[str, Estimate]


@dataclass(frozen=True)
class ContextReport:
    """Everything an evaluation of context found.

    Attributes:
        half: What is reported.
        resampling: Seed and number of resamples.
        confidence: Of the intervals.
        versions: Of what computed it.
        fingerprints: Of each model.
        sources: What was read.
        sets: Set by set.
        overall: Means over the sets; empty for a single one.
        no_harm: By model, the largest absolute difference of a sentence's vector, read with an empty memory, from the
            base's; empty without sentence pairs.
        command: What was asked for, by whoever did.
    """

    half: Half
    resampling: Resampling
    confidence: float
    versions: dict[str, str]
    fingerprints: dict[str, str]
    sources: tuple[Source, ...]
    sets: tuple[SetReport, ...]
    overall: tuple[OverallRow, ...]
    no_harm: dict[str, float]
    command: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the report as JSON; floats have six decimals, but for `no_harm`, which is as small as that."""
        content = {"format": FORMAT, "command": self.command, **asdict(self)}
        content["no_harm"] = {model: f"{apart:.2e}" for model, apart in self.no_harm.items()}
        return rounded_json(content)
