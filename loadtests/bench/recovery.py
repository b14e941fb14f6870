"""How long a server takes to be itself again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from loadtests.bench.load import Answer

GIVE_UP_S: Final = 60.0
STEADY: Final = 5
"""Answers in a row that have to come in time."""
_POLL_S: Final = 0.05


async def recovery_s(
    ask: Callable[[], Awaitable[Answer]],
    bound_s: float,
    after_s: float,
    give_up_s: float = GIVE_UP_S,
) -> float:
    """Wait for an overload to end, then return the seconds until questions are answered in time again.

    Args:
        ask: Asks one question.
        bound_s: How long an answer may take.
        after_s: What to wait for: the last arrival of the overload.
        give_up_s: Seconds after which it is not waited any longer.

    Returns:
        Seconds from the last arrival until the first of five questions in a row that were all answered in time was
        asked; the seconds waited if there was none.
    """
    await asyncio.sleep(after_s)
    begun_s = time.perf_counter()
    steady, since_s = 0, 0.0
    while (spent_s := time.perf_counter() - begun_s) < give_up_s:
        answer = await ask()
        took_s = time.perf_counter() - begun_s - spent_s
        if answer.status != "ok" or took_s > bound_s:
            steady = 0
            await asyncio.sleep(_POLL_S)
            continue
        since_s = since_s if steady else spent_s
        steady += 1
        if steady == STEADY:
            return since_s
    return spent_s
