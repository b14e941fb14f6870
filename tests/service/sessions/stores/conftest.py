from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.sessions.stores import STORES, SessionStore, open_store


@pytest.fixture(params=sorted(STORES))
async def store(request, tmp_path: Path) -> AsyncIterator[SessionStore]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened
