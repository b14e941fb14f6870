"""A cluster is taken only where one connection reaches all of its keys."""

import pytest

from service.errors import ConfigError
from service.sessions.stores.redis import RedisStore
from service.sessions.stores.redis_topology import count_shards
from tests.service.sessions.made import create, make_record


async def test_a_cluster_of_several_shards_is_refused_at_the_start(redis_shards):
    for node in redis_shards:
        with pytest.raises(ConfigError, match=r"sessions\.store: .* one of 2 shards"):
            await RedisStore(node.url, relaxed=True).__aenter__()


async def test_a_cluster_of_one_shard_serves_all_tenants(redis_cluster):
    with redis_cluster.client() as client:
        client.flushall()
    async with RedisStore(redis_cluster.url) as store:
        assert await store._server.call(count_shards) == 1
        for number in range(20):
            assert await create(store, make_record(tenant=f"t{number}"), b"state")


async def test_a_server_that_does_not_let_itself_be_asked_is_taken_for_a_whole_one(
    redis_url, redis_server
):
    with redis_server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "dumb", "on", ">hunter2", "~*", "&*", "+@all", "-info"
        )
    async with RedisStore(redis_url.replace("redis://", "redis://dumb:hunter2@")) as store:
        assert await store._server.call(count_shards) == 1
