"""Trying again what could not be loaded: a file that was missing may be there later."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeVar

import structlog

from service.errors import ConfigError, ModelLoadError, Unavailable

FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 600.0

Loaded = TypeVar("Loaded")

log = structlog.get_logger(__name__)


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each attempt: twice as long each time, ten minutes at most."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_S)


async def until_loaded(
    load: Callable[[], Awaitable[Loaded]],
    failed: Callable[[str], None],
    waits: Iterable[float] | None = None,
) -> Loaded:
    """Load a model, however often it takes.

    Args:
        load: Loads it, or raises why it cannot.
        failed: Told why each attempt failed.
        waits: Seconds before each attempt, without an end; default: `pauses`.
    """
    for wait in waits or pauses():
        await asyncio.sleep(wait)
        try:
            return await load()
        except (ModelLoadError, ConfigError, Unavailable) as error:
            log.info("model_still_failed", reason=str(error))
            failed(str(error))
        except Exception as error:
            # A bug, or a library's own error: the task would end unseen, and the model never come back.
            log.exception("model_still_failed")
            failed(f"{type(error).__name__}: {error}")
    raise RuntimeError("the pauses have an end")
