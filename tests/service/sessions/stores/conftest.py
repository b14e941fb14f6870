from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.sessions.stores import SessionStore, open_store


@pytest.fixture(params=["memory", "sqlite", "redis", "unix", "cluster"])
async def store(request, tmp_path: Path) -> AsyncIterator[SessionStore]:
    async with open_store(specification(request), tmp_path) as opened:
        yield opened


def specification(request) -> str:
    if request.param in {"memory", "sqlite"}:
        return str(request.param)
    kind = "redis_cluster" if request.param == "cluster" else "redis_server"
    server = request.getfixturevalue(kind)
    with server.client() as client:
        client.flushall()
    return f"unix://{server.socket}" if request.param == "unix" else str(server.url)
