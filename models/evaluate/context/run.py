"""The evaluation of context, from a plan to a report."""

import numpy as np
import torch

from models.evaluate.bootstrap import CONFIDENCE
from models.evaluate.context.bench import Bench
from models.evaluate.context.cuts import Cut
from models.evaluate.context.estimates import Estimator, best_free, report_rows
from models.evaluate.context.overall import Compared, overall
from models.evaluate.context.plan import ContextPlan
from models.evaluate.context.position import position_gains
from models.evaluate.context.reading import read_apart
from models.evaluate.context.report import ContextReport, SetReport
from models.evaluate.context.rows import ALONE, free_rows, mean_rows, memory_rows
from models.evaluate.data import RetrievalSet, SentencePairs
from models.evaluate.run import sources, versions
from models.evaluate.watch import Unwatched, Watch


def evaluate_context(plan: ContextPlan, watch: Watch | None = None) -> ContextReport:
    """Find out what contextual chunk vectors gain in retrieval, and over what.

    Deterministic: the same plan and number of threads give the same report.

    Args:
        plan: What to read and what to compare.
        watch: Is told about the progress.

    Raises:
        EvaluationError: an encoder gives vectors that are not finite.
    """
    watch = watch or Unwatched()
    device = plan.base.encoder.embeddings.tokens.weight.device.type
    with torch.autocast(device, torch.bfloat16, enabled=plan.bf16):
        found = [_evaluate_set(plan, data, watch) for data in plan.sets]
    return ContextReport(
        half=plan.half,
        resampling=plan.resampling,
        confidence=CONFIDENCE,
        versions=versions(),
        fingerprints={model.id: model.fingerprint for model in (plan.base, *plan.models)},
        sources=sources(plan.sets, plan.pairs),
        no_harm={} if plan.pairs is None else _no_harm(plan, plan.pairs, watch),
        sets=tuple(report for report, _ in found),
        overall=overall([compared for _, compared in found]),
    )


def _evaluate_set(
    plan: ContextPlan, data: RetrievalSet, watch: Watch
) -> tuple[SetReport, Compared]:
    bench = Bench.of(plan, data, watch)
    advance = bench.begin(ALONE, bench.cut.tokens)
    alone = read_apart(plan.base, bench.cut, None, advance)
    rows = free_rows(bench, alone)
    for model in plan.models:
        rows += memory_rows(bench, model)
    rows += mean_rows(bench, rows, plan.models)
    estimator = Estimator(data, plan.half, plan.resampling)
    report = SetReport(
        name=data.name,
        counts=estimator.counts(),
        best_free=best_free(rows).id,
        rows=report_rows(rows, estimator),
        positions={
            model.id: position_gains(bench, model, alone) for model in plan.models if plan.positions
        },
    )
    return report, Compared(data.name, rows, estimator)


def _no_harm(plan: ContextPlan, pairs: SentencePairs, watch: Watch) -> dict[str, float]:
    """Return how far each model's vectors of single texts are from the base's at most."""
    cut = Cut.of(plan.base.tokenizer, [(text,) for text in pairs.first + pairs.second])
    watch.begin(f"{pairs.name}: sentences", cut.tokens * (1 + len(plan.models)))
    base = read_apart(plan.base, cut, None, watch.advance)
    apart = {}
    for model in plan.models:
        empty = model.encoder.empty_memory()
        vectors = read_apart(model, cut, lambda _d, _p, empty=empty: empty, watch.advance)  # type: ignore[misc] # the loop's own
        apart[model.id] = float(np.abs(vectors - base).max())
    return apart
