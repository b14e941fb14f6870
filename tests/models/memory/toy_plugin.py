"""A pytest plugin, `-p tests.models.memory.toy_plugin`: register the toys, and do nothing else.

It imports nothing of `models` by itself: jaxtyping's plugin must see those imports first, to check their shapes.
"""

from typing import cast


def pytest_sessionstart() -> None:
    from models.memory import MEMORY_RULES, MemoryRule  # noqa: PLC0415 - see above
    from tests.models.memory.toys import MeanRule, OffByOneRule  # noqa: PLC0415

    registry = cast("dict[str, MemoryRule]", MEMORY_RULES)
    registry["toy"] = MeanRule()
    registry["wrong-toy"] = OffByOneRule()
