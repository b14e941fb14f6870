"""Requests that nobody sends by accident, as data, and a runner that sends them over raw sockets.

    python -m loadtests.hostile --url http://127.0.0.1:8000

None may be answered 5xx, none may hang, none may leave anything behind.
"""

from typing import Final

from loadtests.hostile.bodies import BODIES
from loadtests.hostile.case import Case
from loadtests.hostile.framing import FRAMING
from loadtests.hostile.heads import HEADS
from loadtests.hostile.paths import PATHS

CORPUS: Final[tuple[Case, ...]] = (*FRAMING, *HEADS, *BODIES, *PATHS)
