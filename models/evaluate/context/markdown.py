"""The report on context as Markdown tables."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from models.evaluate.bootstrap import Estimate
from models.evaluate.context.halves import Half
from models.evaluate.context.report import ContextReport, ContextRow, SetReport
from models.evaluate.context.rows import ALONE, CONTROLS
from models.evaluate.context.scores import MAIN
from models.evaluate.markdown import FEW, TITLES, show_estimate, show_gain, table
from models.evaluate.metrics import RETRIEVAL_METRICS

_INSIDE: Final = f"{MAIN} in document"
_HALVES: Final[dict[Half, str]] = {
    "report": "the report half of the documents; weights were chosen on the other half",
    "selection": "the selection half of the documents, on which weights were chosen too: figures of rows with a "
    "choice are too good",
    "all": "all documents, half of which weights were chosen on too",
}
_NOTHING: Final = "-"


def as_markdown(report: ContextReport, command: Sequence[str] = ()) -> str:
    """Return the report for people.

    Args:
        report: What was found.
        command: The command line that gives it again.
    """
    parts = ["# Context in the vectors of chunks", _preface(report)]
    if report.overall:
        parts += ["## All sets", _OVERALL, _overall(report)]
    for of_set in report.sets:
        parts += [f"## {of_set.name}", *_set(of_set)]
    if report.no_harm:
        apart = [[f"`{model}`", f"{value:.1e}"] for model, value in report.no_harm.items()]
        parts += [
            "## An empty memory",
            "Largest absolute difference of a sentence's vector from the base's.",
            table(["model", "difference"], apart),
        ]
    parts.append(f"## Notes\n\n{_HOW}")
    if command:
        parts.append(f"Made by:\n\n```sh\n{shlex.join(command)}\n```")
    return "\n\n".join(parts) + "\n"


def _preface(report: ContextReport) -> str:
    return (
        f"Queries are about {_HALVES[report.half]}. In brackets: {report.confidence:.0%} intervals, percentile "
        f"bootstrap with {report.resampling.resamples:,} resamples (seed {report.resampling.seed}) of documents with "
        "all their queries; gains are paired."
    )


_HOW: Final = f"""\
* Chunks are ranked among all chunks of the set, and *in document* among those of the query's own document. Queries are
  encoded by the base, whatever encodes the chunks.
* Every row reads all of every chunk, the ends of long ones included.
* `chunk alone` + a · context: both at unit length. `attenuated attention` takes a share g of the attention outputs of
  all layers, or of the upper ones, away behind a document's first segment, and remembers nothing.
  `overlapping windows` and `late chunking` encode other cuts of the same tokens; what stands at the end of a chunk
  falls to the next window where windows overlap, and is missed. `title prefix` is told the title, which a stream does
  not tell, and is no candidate for the best free row.
* `memory off` reads every segment with an empty memory, `another document's memory` with what another document of the
  set left after as many chunks, `read-out zero` with a memory that counts and holds nothing.
* Gains are in bold where their interval leaves out zero and at least {FEW} documents are behind it; intervals of fewer
  are too narrow to rely on, and none is corrected for their number."""


_OVERALL: Final = (
    "nDCG@10 in the whole corpus, set by set, and the mean of the sets, which count the same; gains are of the mean. "
    "Models with several seeds stand for the mean over them."
)


def _overall(report: ContextReport) -> str:
    names = [found.name for found in report.sets]
    over = list(max(report.overall, key=lambda row: len(row.gains)).gains)  # a memory's row has all
    bold = all(found.counts["documents"] >= FEW for found in report.sets)
    heading = ["row", *names, "mean", *(f"gain over {name}" for name in over)]
    return table(
        heading,
        [
            [
                row.id,
                *(f"{row.by_set[name]:.3f}" for name in names),
                f"{row.mean:.3f}",
                *(
                    show_gain(row.gains[name], bold=bold) if name in row.gains else _NOTHING
                    for name in over
                ),
            ]
            for row in report.overall
        ],
    )


def _set(found: SetReport) -> Iterator[str]:
    yield ", ".join(f"{count:,} {kind}" for kind, count in found.counts.items()) + "."
    yield _figures(found)
    memories = [row for row in found.rows if set(row.gains) - {ALONE, found.best_free}]
    if memories:
        yield "### Own memory against what must not help"
        yield _controls(found, memories)
    yield "### Gain where gold chunks name the topic, and where not"
    yield _strata(found)
    if any(row.link for row in found.rows):
        yield "### Links by distance in chunks, and passkeys"
        yield _links(found)
    if found.positions:
        yield "### Gain of the own memory by tokens read before the document"
        yield _positions(found)


def _figures(found: SetReport) -> str:
    heading = ["row", "chosen", *(TITLES[metric] for metric in RETRIEVAL_METRICS)]
    heading += [f"gain over {ALONE}", "the same in document", f"gain over {found.best_free}"]
    rows = []
    for row in found.rows:
        gains = [(ALONE, MAIN), (ALONE, _INSIDE), (found.best_free, MAIN)]
        chosen = ", ".join(f"{name} {value:g}" for name, value in row.settings.items())
        rows.append(
            [
                f"**{row.id}**" if row.id == found.best_free else row.id,
                chosen or _NOTHING,
                *(f"{row.figures[metric].value:.3f}" for metric in RETRIEVAL_METRICS),
                *(_gain(found, row.gains.get(over, {}).get(key)) for over, key in gains),
            ]
        )
    return table(heading, rows)


def _controls(found: SetReport, memories: Sequence[ContextRow]) -> str:
    """Return the gains over a model's own controls; the other rows' gains stand in the table above."""
    rows = []
    for row in memories:
        controls = [id_ for id_ in row.gains if id_.removeprefix(f"{row.model}: ") in CONTROLS]
        rows += [
            [row.id, id_, *(_gain(found, row.gains[id_][key]) for key in RETRIEVAL_METRICS)]
            for id_ in controls
        ]
    return table(["row", "gain over", *(TITLES[key] for key in RETRIEVAL_METRICS)], rows)


def _strata(found: SetReport) -> str:
    strata = ("named", "unnamed")
    metrics = (MAIN, _INSIDE)
    heading = ["row"]
    heading += [
        f"{name}: {TITLES[metric]} ({found.counts[f'queries {name}']:,} queries)"
        for name in strata
        for metric in metrics
    ]
    rows = [
        [
            row.id,
            *(
                _gain(found, row.strata.get(name, {}).get(metric))
                for name in strata
                for metric in metrics
            ),
        ]
        for row in found.rows
        if row.strata
    ]
    return table(heading, rows)


def _links(found: SetReport) -> str:
    distances = sorted({distance for row in found.rows for distance in row.link})
    rows = []
    for row in found.rows:
        accuracies = [show_estimate(row.link[distance]) for distance in distances]
        passkey = _NOTHING if row.passkey is None else show_estimate(row.passkey)
        rows.append([row.id, *accuracies, passkey])
    return table(["row", *map(str, distances), "passkey"], rows)


def _positions(found: SetReport) -> str:
    rows = [
        [
            f"`{model}`",
            f"{at.tokens:,}",
            f"{at.documents} / {at.queries}",
            *(show_gain(at.gain[metric], bold=at.documents >= FEW) for metric in RETRIEVAL_METRICS),
        ]
        for model, gains in found.positions.items()
        for at in gains
    ]
    heading = ["model", "tokens before", "documents / queries"]
    return table([*heading, *(TITLES[metric] for metric in RETRIEVAL_METRICS)], rows)


def _gain(found: SetReport, gain: Estimate | None) -> str:
    return _NOTHING if gain is None else show_gain(gain, bold=found.counts["documents"] >= FEW)
