"""What an evaluation found, as values, and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from models.evaluate.bootstrap import Estimate, Resampling

FORMAT: Final = 1
"""Grows when a key of the JSON changes its meaning."""
_DECIMALS: Final = 6

Estimates = dict[str, dict[str, Estimate]]
"""By name of the set, then by metric."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """What a variant did not read of a set.

    Attributes:
        texts: Texts of which only the first segment was read.
        tokens: Tokens that were dropped.
    """

    texts: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cosine to the teacher's vector of the same text.

    Attributes:
        mean: Over the texts; None if there are none that can be compared.
        fifth_percentile: 95 % of the texts agree better.
        smallest: The worst text.
        texts: How many were compared.
    """

    mean: Estimate | None
    fifth_percentile: float | None
    smallest: float | None
    texts: int


@dataclass(frozen=True, slots=True)
class Row:
    """One variant.

    Attributes:
        id: Its name.
        attention: Key of `variants()`.
        base: Name of the checkpoint.
        fingerprint: Of configuration, tokenizer and weights.
        window: Longest segment in tokens, CLS and SEP included.
        adapter: File name of what it adds to the checkpoint; None if it adds nothing.
        adapter_bytes: Size of that file.
        memory_bytes: Size of a session's memory; 0 without one.
        figures: Quality.
        agreement: With the teacher.
        truncation: What it did not read, by name of the set.
    """

    id: str
    attention: str
    base: str
    fingerprint: str
    window: int
    adapter: str | None
    adapter_bytes: int
    memory_bytes: int
    figures: Estimates
    agreement: Agreement
    truncation: dict[str, Truncation]


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens per second divided by the teacher's.

    Attributes:
        median: Over the rounds.
        smallest: Of all rounds.
        largest: Of all rounds.
        refused: Why there is no ratio, in words; None if there is one.
    """

    median: float | None
    smallest: float | None
    largest: float | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of all variants on the same texts.

    Attributes:
        rounds: How often each was measured.
        texts: How many texts were read in a round.
        ratios: By variant.
    """

    rounds: int
    texts: int
    ratios: dict[str, Pace]


@dataclass(frozen=True, slots=True)
class Source:
    """One set that was read.

    Attributes:
        name: How figures and truncation call it.
        counts: Of documents, chunks and queries, or of pairs.
        sha256: Hash of each file.
    """

    name: str
    counts: dict[str, int]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Everything an evaluation found.

    Attributes:
        teacher: Id of the variant that agreement and speed refer to.
        resampling: Seed and number of resamples.
        confidence: Of the intervals.
        versions: Of what computed it.
        sources: The sets.
        rows: The variants.
        differences: Gain over each baseline: by baseline, variant, set and metric.
        speed: Not reproducible to the last digit, unlike all the rest; None if it was not measured.
        command: What was asked for, by whoever did.
    """

    teacher: str
    resampling: Resampling
    confidence: float
    versions: dict[str, str]
    sources: tuple[Source, ...]
    rows: tuple[Row, ...]
    differences: dict[str, dict[str, Estimates]]
    speed: Speed | None
    command: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the report as JSON; floats have six decimals, which is more than they mean."""
        return rounded_json({"format": FORMAT, "command": self.command, **asdict(self)})


def rounded_json(content: Mapping[str, Any]) -> str:
    """Return values as JSON with six decimals and a newline at the end."""
    return json.dumps(_rounded(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS) + 0.0  # without the sign of a zero
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    return value
