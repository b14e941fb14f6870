"""From vectors to figures with intervals."""

import numpy as np

from models.evaluate.bootstrap import Figure, cluster_mean
from models.evaluate.metrics import retrieval, spearman
from models.evaluate.plan import CHUNKS, QUERIES, SENTENCES, Plan
from models.evaluate.report import Agreement
from models.evaluate.vectors import Vectors

Figures = dict[str, dict[str, Figure]]
"""By name of the set, then by metric."""

SPEARMAN = "spearman"


def quality(vectors: Vectors, plan: Plan) -> Figures:
    """Compute every metric of every set.

    Units of resampling are sentence pairs, and documents with all their queries.
    """
    figures: Figures = {}
    for data in plan.sets:
        queries, chunks = vectors[data.name, QUERIES], vectors[data.name, CHUNKS]
        figures[data.name] = {
            metric: plan.resampling.figure(data.name, *cluster_mean(values, data.query_documents))
            for metric, values in retrieval(data, queries.vectors, chunks.vectors).items()
        }
    if plan.pairs is not None:
        sentences = vectors[plan.pairs.name, SENTENCES].vectors.astype(np.float64)
        first, second = np.split(sentences, 2)
        statistic = spearman((first * second).sum(1), plan.pairs.scores)
        figure = plan.resampling.figure(plan.pairs.name, len(first), statistic)
        figures[plan.pairs.name] = {SPEARMAN: figure}
    return figures


def agreement(vectors: Vectors, teacher: Vectors, plan: Plan) -> Agreement:
    """Compare a variant's vectors with the teacher's, text by text.

    Only texts that the variant read alone count: with a memory of what came before, a chunk's vector is meant to be
    another one. Units of resampling are sentence pairs and documents.

    Args:
        vectors: Of the variant.
        teacher: Of the teacher, which has no memory.
        plan: What both read.
    """
    cosines, clusters, offset = [], [], 0
    for part in plan.parts:
        ours, theirs = vectors[part.data, part.kind], teacher[part.data, part.kind]
        both = (ours.vectors.astype(np.float64) * theirs.vectors).sum(1)
        cosines.append(both[ours.fresh])
        clusters.append(part.clusters[ours.fresh] + offset)
        offset += len(part.clusters)
    values = np.concatenate(cosines)
    if not values.size:
        return Agreement(None, None, None, 0)
    mean = plan.resampling.figure("agreement", *cluster_mean(values, np.concatenate(clusters)))
    low, smallest = float(np.quantile(values, 0.05)), float(values.min())
    return Agreement(mean.estimate(), low, smallest, len(values))
