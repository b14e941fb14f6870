"""What a memory of the document is worth to the vectors of its chunks, measured against everything that is cheaper."""

from models.evaluate.context.plan import ContextPlan
from models.evaluate.context.report import ContextReport
from models.evaluate.context.run import evaluate_context

__all__ = ["ContextPlan", "ContextReport", "evaluate_context"]
