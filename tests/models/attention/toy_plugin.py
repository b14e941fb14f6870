"""A pytest plugin, `-p tests.models.attention.toy_plugin`: register the toys, and do nothing else.

It imports nothing of `models` by itself: jaxtyping's plugin must see those imports first, to check their shapes.
"""

from typing import cast


def pytest_sessionstart() -> None:
    from models.attention import ATTENTIONS, Attention  # noqa: PLC0415 - see above
    from tests.models.attention.toys import OffByOne, RunningMean  # noqa: PLC0415

    registry = cast("dict[str, type[Attention]]", ATTENTIONS)
    registry["toy"] = RunningMean
    registry["wrong-toy"] = OffByOne
