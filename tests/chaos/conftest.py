from collections.abc import Iterator

import pytest

from tests.redis_server import RedisProcess


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory) -> Iterator[RedisProcess]:
    """One server for all tests that ask for it."""
    with RedisProcess(tmp_path_factory.mktemp("redis")) as server:
        yield server
