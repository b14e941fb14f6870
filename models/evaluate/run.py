"""The evaluation of all variants, from a plan to a report."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

from models.evaluate.bootstrap import CONFIDENCE
from models.evaluate.data import RetrievalSet, SentencePairs
from models.evaluate.errors import EvaluationError
from models.evaluate.figures import Figures, agreement, quality
from models.evaluate.plan import Plan
from models.evaluate.report import Estimates, Report, Row, Source
from models.evaluate.speed import measure_speed
from models.evaluate.variant import Variant
from models.evaluate.vectors import Vectors, encode_all, truncation
from models.evaluate.watch import Unwatched, Watch


def evaluate(variants: Sequence[Variant], plan: Plan, watch: Watch | None = None) -> Report:
    """Evaluate variants on the same texts.

    Deterministic but for the speed: the same variants, plan and number of threads give the same report.

    Args:
        variants: Rows of the report, in its order; teacher and baselines are among them.
        plan: What to read and what to compare.
        watch: Is told about the progress.

    Raises:
        EvaluationError: teacher or baseline is not among the variants, or an encoder gives vectors that are not finite.
    """
    watch = watch or Unwatched()
    _check(variants, plan)
    vectors = {variant.id: encode_all(variant, plan, watch) for variant in variants}
    watch.begin("intervals", len(variants))
    figures, rows = {}, []
    for variant in variants:
        figures[variant.id] = quality(vectors[variant.id], plan)
        rows.append(_row(variant, figures[variant.id], vectors, plan))
        watch.advance(1)
    return Report(
        teacher=plan.teacher,
        resampling=plan.resampling,
        confidence=CONFIDENCE,
        versions=versions(),
        sources=sources(plan.sets, plan.pairs),
        rows=tuple(rows),
        differences={baseline: _gains(figures, baseline) for baseline in plan.baselines},
        speed=measure_speed(variants, plan, watch) if plan.speed_rounds else None,
    )


def _check(variants: Sequence[Variant], plan: Plan) -> None:
    known = [variant.id for variant in variants]
    if len(set(known)) < len(known):
        raise EvaluationError(f"two models have the same id: {', '.join(known)}")
    for id_ in (plan.teacher, *plan.baselines):
        if id_ not in known:
            raise EvaluationError(
                f"model {id_!r} is not evaluated; evaluated are {', '.join(known)}"
            )
    widths = {variant.encoder.config.width for variant in variants}
    if len(widths) > 1:
        raise EvaluationError(f"vectors of widths {sorted(widths)} cannot be compared")


def _row(variant: Variant, figures: Figures, vectors: dict[str, Vectors], plan: Plan) -> Row:
    ours = vectors[variant.id]
    return Row(
        id=variant.id,
        attention=variant.attention,
        base=variant.base,
        fingerprint=variant.fingerprint,
        window=variant.tokenizer.max_tokens,
        adapter=variant.adapter,
        adapter_bytes=variant.adapter_bytes,
        memory_bytes=variant.memory_bytes,
        figures={
            data: {metric: figure.estimate() for metric, figure in metrics.items()}
            for data, metrics in figures.items()
        },
        agreement=agreement(ours, vectors[plan.teacher], plan),
        truncation=truncation(ours),
    )


def _gains(figures: dict[str, Figures], baseline: str) -> dict[str, Estimates]:
    """Return what each other variant gains over a baseline, on the same resamples."""
    return {
        id_: {
            data: {
                metric: figure.minus(figures[baseline][data][metric]).estimate()
                for metric, figure in metrics.items()
            }
            for data, metrics in ours.items()
        }
        for id_, ours in figures.items()
        if id_ != baseline
    }


def sources(sets: Sequence[RetrievalSet], pairs: SentencePairs | None) -> tuple[Source, ...]:
    """State what was read, and how much of it."""
    found = []
    if pairs is not None:
        found.append(Source(pairs.name, {"pairs": len(pairs.first)}, pairs.sources))
    found += [
        Source(
            name=data.name,
            counts={
                "documents": len(data.documents),
                "chunks": len(data.chunk_documents),
                "queries": len(data.queries),
            },
            sha256=data.sources,
        )
        for data in sets
    ]
    return tuple(found)


def versions() -> dict[str, str]:
    """State what computes."""
    packages = ("longstream", "torch", "numpy", "tokenizers")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
