"""The engine: which segments form the next forward pass, and the loop that runs it."""

from service.engine.driver import Engine, EngineObserver
from service.engine.results import SegmentResult, SequenceResult

__all__ = ["Engine", "EngineObserver", "SegmentResult", "SequenceResult"]
