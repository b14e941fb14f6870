"""Stand-ins for Ray Serve handles that do what a test scripts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Script = Callable[..., Awaitable[Any]]


class FakeMethod:
    def __init__(self, handle: "FakeHandle", name: str) -> None:
        self._handle = handle
        self._name = name

    def remote(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        self._handle.calls.append((self._name, self._handle.session, args, kwargs))
        return self._handle.scripts[self._name](*args, **kwargs)


class FakeBroadcast:
    def __init__(self, results: Any) -> None:
        self._results = results

    async def results_async(self, *, timeout_s: float, return_exceptions: bool) -> list[Any]:
        assert timeout_s > 0
        assert return_exceptions
        if self._results is None:
            await asyncio.sleep(0)
            raise TimeoutError
        return list(self._results)


class FakeHandle:
    """A handle; `scripts` maps method names to coroutine functions, `calls` is what was asked."""

    deployment_name = "encoder-fake"

    def __init__(self, **scripts: Script) -> None:
        self.scripts = scripts
        self.calls: list[tuple[str, str | None, tuple[Any, ...], dict[str, Any]]] = []
        self.session: str | None = None
        self.results: list[Any] | None = []

    def options(self, *, session_id: str) -> "FakeHandle":
        routed = FakeHandle(**self.scripts)
        routed.calls = self.calls
        routed.session = session_id
        return routed

    def broadcast(self, method: str) -> FakeBroadcast:
        self.calls.append((method, self.session, (), {}))
        return FakeBroadcast(self.results)

    def __getattr__(self, name: str) -> FakeMethod:
        if name.startswith("_") or name not in self.scripts:
            raise AttributeError(name)
        return FakeMethod(self, name)

    def count(self, name: str) -> int:
        return sum(called == name for called, *_ in self.calls)
