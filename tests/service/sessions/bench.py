"""A store with one session and one replica over it."""

from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import ServiceError
from service.ports import AppendResult, ModelInfo
from service.sessions.appender import Appender
from service.sessions.catalog import SessionCatalog
from service.sessions.hot import HotStates
from service.sessions.retention import Retention
from service.sessions.stores import MemoryStore, SessionStore
from tests.service.sessions.begun import begin_session
from tests.service.sessions.fakes import (
    INFO,
    TENANT,
    WIDTH,
    FakeReader,
    Listener,
    command,
    ticking,
)

TEXTS = ["a first chunk", "then more", "", "then more", "and the end of it"]

STATE_BYTES = FakeReader().empty().nbytes + 8 * WIDTH


class Bench:
    """A store with one session `s` and one replica over it."""

    def __init__(
        self,
        store: SessionStore | None = None,
        hot_bytes: int = 1 << 20,
        kept: int | None = None,
        info: ModelInfo = INFO,
        retention: Retention | None = None,
    ) -> None:
        self.store = store or MemoryStore()
        self.reader, self.listener = FakeReader(), Listener()
        self.hot = HotStates(hot_bytes, self.listener)
        self.clock = ticking()
        self.catalog = SessionCatalog(self.store, self.clock, self.listener)
        self.appender = Appender(
            self.store,
            self.reader,
            info,
            self.hot,
            retention=retention or Retention(kept),
            clock=self.clock,
            observer=self.listener,
        )
        self.append = self.appender.append

    async def begin(self, name: str = "s") -> Self:
        await begin_session(self.catalog, TENANT, INFO, name)
        return self


def vectors(*results: AppendResult) -> list[NDArray[np.float32]]:
    return [answer.embedding for result in results for answer in result.answers]


async def refused(
    bench: Bench, error_type: type[ServiceError], *chunks: str, **options: Any
) -> ServiceError:
    """Return the error of an append that changes nothing."""
    before = await bench.store.get_with_state(TENANT, "s")
    with pytest.raises(error_type) as caught:
        await bench.append(command(*chunks, **options))
    assert await bench.store.get_with_state(TENANT, "s") == before
    return caught.value
