import time
from collections.abc import Iterator

import pytest

from tests.redis_server import RedisProcess, free_port


@pytest.fixture
async def bench():
    from tests.service.sessions.bench import Bench  # noqa: PLC0415 - torch, which tests of stores do without

    return await Bench().begin()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory) -> Iterator[RedisProcess]:
    """One server for all tests that ask for it."""
    with RedisProcess(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory) -> Iterator[RedisProcess]:
    """A cluster of one node: it refuses a step whose keys live in different slots."""
    settings = {"cluster_enabled": "yes", "cluster_port": str(free_port())}
    with RedisProcess(tmp_path_factory.mktemp("cluster"), **settings) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                pass
        yield server


@pytest.fixture(scope="session")
def redis_shards(tmp_path_factory) -> Iterator[tuple[RedisProcess, RedisProcess]]:
    """A cluster of two nodes that have half of the slots each."""
    ports = free_port(), free_port()
    first, second = (
        RedisProcess(
            tmp_path_factory.mktemp("shard"), cluster_enabled="yes", cluster_port=str(port)
        )
        for port in ports
    )
    with first, second, first.client() as one, second.client() as two:
        one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        two.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        two.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        one.execute_command("CLUSTER", "MEET", "127.0.0.1", second.port, ports[1])
        deadline = time.monotonic() + 60
        while any(
            b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO")
            for node in (one, two)
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield first, second


@pytest.fixture
def redis_url(redis_server: RedisProcess) -> str:
    """The address of an empty database."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url
