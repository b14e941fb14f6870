"""All texts of a run as vectors of one variant."""

from collections.abc import Mapping

from models.evaluate.encoding import Encoded, encode, plan_reading
from models.evaluate.plan import Plan
from models.evaluate.report import Truncation
from models.evaluate.variant import Variant
from models.evaluate.watch import Watch

Vectors = Mapping[tuple[str, str], Encoded]
"""What a variant made of each part of a plan, by name of the set and kind of text."""


def encode_all(variant: Variant, plan: Plan, watch: Watch) -> Vectors:
    """Read every text of a plan.

    Raises:
        EvaluationError: a vector is not finite.
    """
    readings = {
        (part.data, part.kind): plan_reading(variant, part.documents) for part in plan.parts
    }
    watch.begin(f"{variant.id}: reading", sum(reading.tokens for reading in readings.values()))
    return {key: encode(variant, reading, watch.advance) for key, reading in readings.items()}


def truncation(vectors: Vectors) -> dict[str, Truncation]:
    """Count for each set what was not read."""
    counts: dict[str, Truncation] = {}
    for (data, _), encoded in vectors.items():
        before = counts.get(data, Truncation(0, 0))
        counts[data] = Truncation(
            texts=before.texts + encoded.truncated_texts,
            tokens=before.tokens + encoded.dropped_tokens,
        )
    return counts
