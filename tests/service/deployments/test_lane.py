"""Calls by the lane, over real sockets."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from service.deployments.lane import Lane, LaneLost, LaneServer, client, frames, server, supported
from service.deployments.ports import Patience, RayEncoder
from service.errors import Conflict, InternalError, Unavailable
from service.ports import AppendCommand
from tests.service.deployments.fakes import FakeHandle

pytestmark = pytest.mark.skipif(not supported(), reason="needs sockets without files")


class Target:
    """A replica: what a test calls is what it does."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def embed(self, texts: list[str], *, truncate: bool) -> tuple[Any, ...]:
        return np.arange(len(texts) * 100_000, dtype=np.float32), texts, truncate

    async def append(self, number: int) -> int:
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return number

    async def query(self) -> None:
        raise Conflict("sequence_conflict", "no", extras={"expected_seq": 3})

    async def read(self) -> None:
        raise ValueError("secret")

    async def verify(self) -> Any:
        return lambda: "cannot be pickled"

    async def stop(self) -> None:
        raise AssertionError("not a method of the port")


async def opened(lane: Lane) -> None:
    for _ in range(200):
        if (answer := lane.call("embed", [], truncate=False)) is not None:
            await answer
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no lane")


async def pair(stop_s: float = 5.0) -> tuple[Target, LaneServer, Lane]:
    target = Target()
    replica = await LaneServer.open(target, stop_s)

    async def find() -> str:
        return replica.address

    lane = Lane(find)
    await opened(lane)
    return target, replica, lane


def asked(lane: Lane, method: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
    answer = lane.call(method, *args, **kwargs)
    assert answer is not None
    return answer


async def test_answers_come_back_whole_and_to_who_asked() -> None:
    target, replica, lane = await pair()
    slow = asyncio.ensure_future(asked(lane, "append", 7))
    many = await asyncio.gather(
        *(asked(lane, "embed", ["ä"] * n, truncate=n > 2) for n in range(1, 6))
    )
    for n, (vector, texts, truncate) in enumerate(many, 1):
        np.testing.assert_array_equal(vector, np.arange(n * 100_000, dtype=np.float32))
        assert (texts, truncate) == (["ä"] * n, n > 2)
    target.release.set()
    assert await slow == 7
    lane.close()
    await replica.stop()


def test_it_works_on_the_loop_that_replicas_have():
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(test_answers_come_back_whole_and_to_who_asked())
    uvloop.run(test_a_replica_that_is_told_to_stop_finishes_what_was_called_and_gets_no_more())


async def test_errors_of_the_service_come_as_they_are_and_others_say_nothing():
    _, replica, lane = await pair()
    with pytest.raises(Conflict) as caught:
        await asked(lane, "query")
    assert caught.value.extras == {"expected_seq": 3}
    for method in ("read", "verify", "stop", "__class__"):
        with pytest.raises(InternalError) as opaque:
            await asked(lane, method)
        assert "secret" not in str(opaque.value)
    lane.close()
    await replica.stop()


async def test_who_waits_no_more_cancels_the_call():
    target, replica, lane = await pair()
    task = asyncio.ensure_future(asked(lane, "append", 1))
    await target.begun.wait()
    task.cancel()
    await asyncio.wait_for(target.cancelled.wait(), 2)
    lane.close()
    await replica.stop()


async def test_a_gateway_that_dies_cancels_its_calls():
    target, replica, lane = await pair()
    task = asyncio.ensure_future(asked(lane, "append", 1))
    await target.begun.wait()
    lane.close()
    with pytest.raises(LaneLost):
        await task
    await asyncio.wait_for(target.cancelled.wait(), 2)
    await replica.stop()


async def test_a_replica_that_is_told_to_stop_finishes_what_was_called_and_gets_no_more() -> None:
    target, replica, lane = await pair()
    task = asyncio.ensure_future(asked(lane, "append", 1))
    await target.begun.wait()
    stopping = asyncio.create_task(replica.stop())
    await asyncio.sleep(0.05)
    assert lane.call("append", 2) is None
    assert not stopping.done()
    target.release.set()
    assert await task == 1
    await asyncio.wait_for(stopping, 2)


async def test_a_call_that_takes_too_long_does_not_keep_a_replica():
    target, replica, lane = await pair(stop_s=0.1)
    task = asyncio.ensure_future(asked(lane, "append", 1))
    await target.begun.wait()
    await replica.stop()
    with pytest.raises(RayActorError):
        await task


async def test_a_lane_that_broke_is_opened_again(monkeypatch):
    monkeypatch.setattr(client, "_RETRY_S", 0.02)
    _, replica, lane = await pair()
    for connection in list(replica._connections):
        connection.transport.abort()
    await asyncio.sleep(0.05)
    assert lane.call("embed", [], truncate=False) is None
    await opened(lane)
    lane.close()
    await replica.stop()


async def test_calls_in_flight_are_bounded(monkeypatch):
    monkeypatch.setattr(client, "MOST_CALLS", 1)
    target, replica, lane = await pair()
    task = asyncio.ensure_future(asked(lane, "append", 1))
    await target.begun.wait()
    with pytest.raises(BackPressureError):
        lane.call("append", 2)
    target.release.set()
    await task
    lane.close()
    await replica.stop()


async def test_processes_of_other_users_are_not_heard(monkeypatch):
    heard: list[object] = []
    monkeypatch.setattr(server._Connection, "frame", lambda *told: heard.append(told))
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    replica = await LaneServer.open(Target(), 1.0)
    reader, writer = await asyncio.open_unix_connection(sock=frames.connected(replica.address))
    writer.write(b"\0\0\0\4....")
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert not heard
    writer.close()
    await replica.stop()


async def nowhere() -> None:
    return None


async def gone() -> str:
    return "\0longstream-nobody"


async def dead() -> str:
    raise RayActorError


@pytest.mark.parametrize("find", [nowhere, gone, dead])
async def test_without_a_lane_calls_go_through_ray(find: Callable[[], Awaitable[str | None]]):
    by_ray: Any = object()
    handle = FakeHandle(embed=once(by_ray), append=once(by_ray))
    port = over(handle, Lane(find))
    for _ in range(2):
        assert await port.embed(["a"], truncate=False) is by_ray
        assert await port.append(AppendCommand("t", "s", ("a",))) is by_ray
        await asyncio.sleep(0.01)
    assert handle.calls[1] == ("append", "t/s", (AppendCommand("t", "s", ("a",)),), {})


async def test_a_replica_that_dies_on_the_lane_is_asked_again_through_ray():
    target, replica, lane = await pair()
    by_ray: Any = object()
    handle = FakeHandle(append=once(by_ray))
    port = over(handle, lane)
    safe = asyncio.ensure_future(port.append(AppendCommand("t", "s", ("a",), first_seq=0)))
    unsafe = asyncio.ensure_future(port.append(AppendCommand("t", "s", ("a",))))
    await target.begun.wait()
    for connection in list(replica._connections):
        connection.transport.abort()
    assert await safe is by_ray
    with pytest.raises(Unavailable, match="died or fell silent") as caught:
        await unsafe
    assert caught.value.code == "outcome_unknown"
    assert handle.count("append") == 1
    await replica.stop()


async def test_too_many_calls_on_a_lane_are_an_overload(monkeypatch):
    monkeypatch.setattr(client, "MOST_CALLS", 0)
    target = Target()
    replica = await LaneServer.open(target, 1.0)

    async def find() -> str:
        return replica.address

    lane = Lane(find)
    while lane._connection is None:
        lane.call("embed", [], truncate=False)
        await asyncio.sleep(0.01)
    with pytest.raises(Unavailable) as caught:
        await over(FakeHandle(), lane).embed(["a"], truncate=False)
    assert caught.value.code == "overloaded"
    lane.close()
    await replica.stop()


def once(result: Any) -> Any:
    async def script(*_: Any, **__: Any) -> Any:
        return result

    return script


def over(handle: FakeHandle, lane: Lane) -> RayEncoder:
    return RayEncoder("m", cast("DeploymentHandle[Any]", handle), Patience(short=0.05), lane)
