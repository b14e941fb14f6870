from collections.abc import AsyncIterator

import httpx
import pytest

from tests.service.api.kit import Api


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client() as client:
        yield client


@pytest.fixture
async def session(client) -> None:
    await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
