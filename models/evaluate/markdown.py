"""The report as Markdown tables."""

import shlex
from collections.abc import Iterable, Sequence

from models.evaluate.bootstrap import Estimate
from models.evaluate.figures import SPEARMAN
from models.evaluate.metrics import DEPTH, RETRIEVAL_METRICS
from models.evaluate.report import Estimates, Pace, Report, Row, Source

_NDCG = f"ndcg@{DEPTH}"
TITLES = {
    _NDCG: f"nDCG@{DEPTH}",
    "r@1": "R@1",
    f"{_NDCG} in document": f"nDCG@{DEPTH} in document",
    "r@1 in document": "R@1 in document",
    SPEARMAN: "Spearman",
}
_NOTHING = "-"
FEW = 10  # percentile intervals from fewer units leave out the truth far too often


def as_markdown(report: Report, command: Sequence[str] = ()) -> str:
    """Return the report for people.

    Args:
        report: What was found.
        command: The command line that gives it again.
    """
    parts = ["# Evaluation of the encoders", _preface(report), _overview(report)]
    sets = [source.name for source in report.sources if "queries" in source.counts]
    parts += [f"## Retrieval: {name}\n\n{_retrieval(report, name)}" for name in sets]
    parts += [
        f"## Gain over `{baseline}`\n\n{_gains(report, rows)}"
        for baseline, rows in report.differences.items()
        if rows
    ]
    parts.append(f"## Notes\n\n{_notes(report)}")
    if command:
        parts.append(f"Made by:\n\n```sh\n{shlex.join(command)}\n```")
    return "\n\n".join(parts) + "\n"


def _preface(report: Report) -> str:
    sizes = "; ".join(
        f"{source.name}: " + ", ".join(f"{count:,} {kind}" for kind, count in source.counts.items())
        for source in report.sources
    )
    return (
        f"{sizes}.\n\nIn brackets: {report.confidence:.0%} intervals, percentile bootstrap with "
        f"{report.resampling.resamples:,} resamples (seed {report.resampling.seed}) of documents with all their "
        "queries, or of sentence pairs. They say what other texts of the same kind would change, not what training "
        "with another seed would."
    )


def _overview(report: Report) -> str:
    metrics = [
        (source.name, SPEARMAN if "pairs" in source.counts else _NDCG) for source in report.sources
    ]
    heading = ["model", *(f"{name} {TITLES[metric]}" for name, metric in metrics)]
    heading += [f"cosine to `{report.teacher}`", f"tokens/s ÷ `{report.teacher}`"]
    heading += ["adapter", "memory"]
    rows = [
        [
            f"`{row.id}`",
            *(show_estimate(row.figures[name][metric]) for name, metric in metrics),
            _agreement(row),
            _pace(report, row.id),
            _bytes(row.adapter_bytes),
            _bytes(row.memory_bytes),
        ]
        for row in report.rows
    ]
    return table(heading, rows)


def _retrieval(report: Report, name: str) -> str:
    heading = ["model", *(TITLES[metric] for metric in RETRIEVAL_METRICS)]
    rows = [
        [f"`{row.id}`", *(show_estimate(row.figures[name][metric]) for metric in RETRIEVAL_METRICS)]
        for row in report.rows
    ]
    return table(heading, rows)


def _gains(report: Report, rows: dict[str, Estimates]) -> str:
    """Return paired differences; bold where the interval leaves out zero and is not of too few units."""
    metrics = [
        (source, metric)
        for source in report.sources
        for metric in ([SPEARMAN] if "pairs" in source.counts else RETRIEVAL_METRICS)
    ]
    heading = ["set", "metric", *(f"`{id_}`" for id_ in rows)]
    return table(
        heading,
        [
            [
                source.name,
                TITLES[metric],
                *(
                    show_gain(gains[source.name][metric], bold=not _few(source))
                    for gains in rows.values()
                ),
            ]
            for source, metric in metrics
        ],
    )


_HOW = f"""\
nDCG@{DEPTH} and R@1 rank all chunks of a set; *in document* ranks those of the query's own document alone.
R@1 is the share of queries with a gold chunk in first place.
A variant with memory reads the chunks of a document in order through one memory, all else with an empty one.
A variant without memory reads the first segment of each text; what that drops is told below.
The cosine is the mean over all texts that were read alone, with their 5th percentile and the smallest.
Gains are in bold where their interval leaves out zero; intervals are not corrected for their number."""


def _notes(report: Report) -> str:
    lines = _HOW.splitlines()
    lines += [
        f"{source.name} has fewer than {FEW} independent units: its intervals are too narrow to rely on."
        for source in report.sources
        if _few(source)
    ]
    lines += [
        f"`{row.id}` read only the beginning of {lost.texts:,} texts of {name}: {lost.tokens:,} tokens were dropped."
        for row in report.rows
        for name, lost in row.truncation.items()
        if lost.texts
    ]
    if report.speed is not None:
        lines.append(
            f"Speed: median of {report.speed.rounds} rounds in which all variants read the same "
            f"{report.speed.texts:,} texts in turn; in brackets the smallest and the largest ratio."
        )
        lines += [
            f"No speed for `{id_}`: {pace.refused}."
            for id_, pace in report.speed.ratios.items()
            if pace.refused
        ]
    return "\n".join(f"* {line}" for line in lines)


def show_estimate(estimate: Estimate) -> str:
    """Return a figure, with its interval in brackets."""
    return f"{estimate.value:.3f}{_range(estimate.low, estimate.high, '.3f')}"


def _few(source: Source) -> bool:
    return source.counts.get("documents", source.counts.get("pairs", 0)) < FEW


def show_gain(estimate: Estimate, *, bold: bool) -> str:
    """Return a difference with its sign and its interval.

    Args:
        estimate: The difference.
        bold: Set it in bold where its interval leaves out zero.
    """
    low, high = estimate.low, estimate.high
    shown = f"{estimate.value:+.3f}{_range(low, high, '+.3f')}"
    certain = low is not None and high is not None and (low > 0 or high < 0)
    return f"**{shown}**" if certain and bold else shown


def _range(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"


def _agreement(row: Row) -> str:
    found = row.agreement
    if found.mean is None:
        return _NOTHING
    return (
        f"{show_estimate(found.mean)}, 5 % {found.fifth_percentile:.3f}, min {found.smallest:.3f}"
    )


def _pace(report: Report, id_: str) -> str:
    pace = Pace(None, None, None, None) if report.speed is None else report.speed.ratios[id_]
    if pace.median is None:
        return _NOTHING
    return f"{pace.median:.2f}{_range(pace.smallest, pace.largest, '.2f')}"


def _bytes(count: int) -> str:
    return f"{count:,} B" if count else _NOTHING


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rule = ["---"] * len(heading)
    return "\n".join(f"| {' | '.join(_cell(c) for c in row)} |" for row in [heading, rule, *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
