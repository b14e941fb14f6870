"""Compressive memories: what an encoder has read, in constant size."""

from collections.abc import Mapping
from typing import Final

from models.config import MemoryRuleName
from models.memory.corrected_delta import CorrectedDeltaRule
from models.memory.delta import DeltaRule
from models.memory.linear import LinearRule
from models.memory.ridge import RidgeRule
from models.memory.rule import AdditiveRule, MemoryRule
from models.memory.state import Memory, Parts, Shapes

MEMORY_RULES: Final[Mapping[MemoryRuleName, MemoryRule]] = {
    "linear": LinearRule(),
    "delta": DeltaRule(),
    "delta-corrected": CorrectedDeltaRule(),
    "ridge": RidgeRule(),
}

__all__ = ["MEMORY_RULES", "AdditiveRule", "Memory", "MemoryRule", "Parts", "Shapes"]
