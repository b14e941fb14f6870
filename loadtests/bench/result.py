"""What an experiment found, as values that JSON can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from loadtests.bench.measure import Figures
from loadtests.bench.rounds import Spread, Verdict
from loadtests.bench.vectors import Agreement


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a plot.

    Attributes:
        name: What the line is called.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        points: Pairs, from left to right.
    """

    name: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One experiment, done or not.

    Attributes:
        name: The experiment.
        title: It in a sentence.
        rows: Figures of each side, by side and figure.
        verdicts: Ratios, most important first.
        agreements: How the vectors of each side compare with the reference.
        notes: What a reader must know.
        curves: Plots.
        missing: Promises that could not be judged, and why.
        skipped: Why it was not run; empty if it was.
        others: Share of the cores that other programs used meanwhile, at most; 0 to 1.
        when: Date and settings, for people; reports may be put together from several runs.
    """

    name: str
    title: str
    rows: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)
    verdicts: Sequence[Verdict] = ()
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()
    missing: Sequence[str] = ()
    skipped: str = ""
    others: float = 0.0
    when: str = ""


def rows_of(rounds: Mapping[str, Sequence[Figures]]) -> dict[str, dict[str, Spread]]:
    """Return every figure of every side with its spread over the rounds."""
    return {
        side: {
            one.name: Spread.of([float(getattr(found, one.name)) for found in measured])
            for one in fields(Figures)
        }
        for side, measured in rounds.items()
    }
