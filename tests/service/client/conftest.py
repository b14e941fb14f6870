"""What the tests of both clients share: one fixture that is either."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.client import AsyncLongstreamClient, LongstreamClient, RetryPolicy
from tests.service.client.fake import FakeService

QUICK = RetryPolicy(retry_for_s=5, first_wait_s=0.001, longest_wait_s=0.002)


class Blocking:
    """Drives the asyncio client like the blocking one."""

    def __init__(self, client: AsyncLongstreamClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if inspect.isasyncgen(result):
                return self._iterated(result)
            return self._loop.run_until_complete(result)

        return call

    def _iterated(self, generator: Any) -> Iterator[Any]:
        try:
            while True:
                yield self._loop.run_until_complete(anext(generator))
        except StopAsyncIteration:
            return


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture(params=["blocking", "asyncio"])
def client(request, service) -> Iterator[Any]:
    transport = httpx.MockTransport(service)
    if request.param == "blocking":
        with LongstreamClient(api_key="k", retry=QUICK, transport=transport) as made:
            yield made
        return
    with asyncio.Runner() as runner:
        twin = AsyncLongstreamClient(api_key="k", retry=QUICK, transport=transport)
        yield Blocking(twin, runner.get_loop())
        runner.run(twin.aclose())
