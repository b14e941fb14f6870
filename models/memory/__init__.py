"""Compressive memories: what an encoder has read, in constant size."""

from collections.abc import Mapping
from typing import Final

from models.config import MemoryRuleName
from models.memory.rules import DeltaRule, LinearRule, MemoryRule, read
from models.memory.state import Memory

MEMORY_RULES: Final[Mapping[MemoryRuleName, MemoryRule]] = {
    "linear": LinearRule(),
    "delta": DeltaRule(),
}

__all__ = ["MEMORY_RULES", "Memory", "MemoryRule", "read"]
