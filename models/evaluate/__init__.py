"""How good the encoders are: sentence similarity, retrieval of chunks, agreement with the teacher, speed, bytes."""

from models.evaluate.data import RetrievalSet, SentencePairs
from models.evaluate.errors import DataError, EvaluationError
from models.evaluate.plan import Plan
from models.evaluate.report import Report
from models.evaluate.run import evaluate
from models.evaluate.variant import Variant
from models.evaluate.watch import Watch

__all__ = [
    "DataError",
    "EvaluationError",
    "Plan",
    "Report",
    "RetrievalSet",
    "SentencePairs",
    "Variant",
    "Watch",
    "evaluate",
]
