"""The Redis store on the event loop of the service's replicas, which says in its own words that a connection ended."""

import asyncio
from collections import Counter

import pytest
import uvloop

from service.errors import Unavailable
from service.sessions.stores import RedisStore
from tests.chaos.fault_proxy import FaultProxy
from tests.service.sessions.made import TENANT, create, make_record

RECORD = make_record()
READERS = 8


@pytest.fixture
def runner():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


async def _reads(store: RedisStore, rounds: int) -> Counter[str]:
    """Read again and again, several at once; return how often there was which outcome."""
    seen: Counter[str] = Counter()
    for _ in range(rounds):
        reads = (store.get(TENANT, RECORD.id) for _ in range(READERS))
        for one in await asyncio.gather(*reads, return_exceptions=True):
            seen["found" if one == RECORD else type(one).__name__] += 1
    return seen


def test_connections_that_end_at_any_moment_are_an_outage_and_no_error(runner, redis_server):
    async def scenario() -> Counter[str]:
        async with (
            FaultProxy("127.0.0.1", redis_server.port).listening() as proxy,
            RedisStore(f"redis://127.0.0.1:{proxy.port}/0") as store,
        ):
            with redis_server.client() as client:
                client.flushall()
            await create(store, RECORD, b"state")

            async def cut() -> None:
                while True:
                    await asyncio.sleep(0.003)
                    proxy.reset()
                    proxy.refusing = not proxy.refusing

            cutting = asyncio.create_task(cut())
            seen = await _reads(store, 60)
            cutting.cancel()
            proxy.heal()
            assert (await _reads(store, 1)).total() == READERS
            assert await _reads(store, 5) == {"found": 5 * READERS}
            return seen

    seen = runner.run(scenario())
    assert seen[Unavailable.__name__] > 0
    assert set(seen) <= {"found", Unavailable.__name__}, seen


def test_other_errors_of_the_runtime_stay_what_they_are(runner, redis_url):
    async def scenario() -> None:
        async with RedisStore(redis_url) as store:

            async def broken(_: object) -> None:
                raise RuntimeError("a bug")

            await store._server.call(broken)

    with pytest.raises(RuntimeError, match="a bug"):
        runner.run(scenario())
