import pytest

from tests.service.sessions.bench import Bench


@pytest.fixture
async def bench():
    return await Bench().begin()
