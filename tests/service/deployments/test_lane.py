"""Calls by the lane, over real sockets."""

import asyncio
import contextlib
import os
import pickle
from collections.abc import Awaitable, Callable
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from service.deployments.calls import Patience
from service.deployments.lane import (
    Address,
    Lane,
    LaneLost,
    LaneServer,
    client,
    frames,
    server,
    supported,
)
from service.deployments.ports import RayEncoder
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

    async def find() -> Address:
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
    for connection in list(replica.connections):
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


async def said_to(replica: LaneServer, words: bytes) -> bytes:
    """Return what a replica answers to some bytes before it closes the connection."""
    sock = frames.connected(replica.address.name)
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    writer.write(words)
    try:
        return await asyncio.wait_for(reader.read(), 2)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


HARM = frames._HEAD.pack(4, 1) + b"...."


@pytest.fixture
def unpickled(monkeypatch) -> list[bytes]:
    seen: list[bytes] = []

    def unpickled(content: bytes) -> tuple[str]:
        seen.append(content)
        return ("cancel",)

    monkeypatch.setattr(frames, "_unpickled", unpickled)
    return seen


async def test_processes_of_other_users_are_not_heard(monkeypatch, unpickled):
    replica = await LaneServer.open(Target(), 1.0)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert await said_to(replica, replica.address.secret + HARM) == b""
    assert not unpickled
    await replica.stop()


async def test_who_does_not_know_the_secret_is_not_heard(unpickled):
    replica = await LaneServer.open(Target(), 1.0)
    assert await said_to(replica, b"x" * len(replica.address.secret) + HARM) == b""
    assert not unpickled
    await replica.stop()


async def test_a_replica_of_another_user_is_told_nothing(monkeypatch):
    heard: list[bytes] = []

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            heard.append(await reader.read())
        writer.close()

    address = Address("\0longstream-stranger", b"s" * 32)
    listener = frames.listening(address.name)
    impostor = await asyncio.start_unix_server(stranger, sock=listener)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)

    async def find() -> Address:
        return address

    lane = Lane(find)
    for _ in range(10):
        assert lane.call("embed", ["a"], truncate=False) is None
        await asyncio.sleep(0.01)
    assert b"".join(heard) == b""
    impostor.close()
    await impostor.wait_closed()


async def test_a_call_that_is_cancelled_before_it_began_is_forgotten():
    target, replica, _ = await pair()
    [connection] = replica.connections
    number, content = 99, pickle.dumps(("append", (1,), {}))
    cancel = pickle.dumps(("cancel",))
    both = [frames._HEAD.pack(len(one), number) + one for one in (content, cancel)]
    connection.data_received(b"".join(both))
    await asyncio.sleep(0.01)
    assert not connection.running
    assert not target.begun.is_set()
    await asyncio.wait_for(replica.stop(), 0.5)


async def test_what_a_stuck_replica_does_not_read_is_bounded(monkeypatch):
    monkeypatch.setattr(client, "MOST_BYTES", 1_000_000)
    _, replica, lane = await pair()
    [connection] = replica.connections
    connection.transport.pause_reading()

    async def given_up() -> None:
        task = asyncio.ensure_future(asked(lane, "embed", ["x" * 500_000], truncate=False))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await given_up()
    await given_up()
    with pytest.raises(BackPressureError):
        await asyncio.gather(*(given_up() for _ in range(20)))
    lane.close()
    await replica.stop()


async def test_a_stuck_gateway_does_not_keep_a_replica(monkeypatch):
    monkeypatch.setattr(server, "_LEAVE_S", 0.1)
    monkeypatch.setattr(client._Connection, "data_received", lambda *_: None)
    target = Target()
    replica = await LaneServer.open(target, 30.0)
    sock = frames.connected(replica.address.name)
    _, writer = await asyncio.open_unix_connection(sock=sock)
    writer.write(replica.address.secret)
    await asyncio.sleep(0.05)
    await asyncio.wait_for(replica.stop(), 2)
    writer.close()


async def test_a_large_answer_is_there_although_the_replica_stops():
    _, replica, lane = await pair()
    answer = asyncio.ensure_future(asked(lane, "embed", ["a"] * 200, truncate=False))
    await asyncio.sleep(0)
    await replica.stop()
    vector, *_ = await answer
    assert vector.nbytes == 200 * 400_000


async def test_what_cannot_be_read_ends_one_call_only():
    target, replica, lane = await pair()
    slow = asyncio.ensure_future(asked(lane, "append", 1))
    await target.begun.wait()
    assert lane._connection is not None
    connection = lane._connection
    number, answer = 1000, asyncio.get_running_loop().create_future()
    connection._waiting[number] = answer
    connection.transport.write(frames._HEAD.pack(3, number) + b"...")
    with pytest.raises(InternalError):
        await answer
    [other] = replica.connections
    connection._waiting[number] = answer = asyncio.get_running_loop().create_future()
    other.transport.write(frames._HEAD.pack(3, number) + b"...")
    with pytest.raises(InternalError):
        await answer
    target.release.set()
    assert await slow == 1
    lane.close()
    await replica.stop()


async def nowhere() -> None:
    return None


async def gone() -> Address:
    return Address("\0longstream-nobody", b"s" * 32)


async def dead() -> Address:
    raise RayActorError


@pytest.mark.parametrize("find", [nowhere, gone, dead])
async def test_without_a_lane_calls_go_through_ray(find: Callable[[], Awaitable[Address | None]]):
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
    for connection in list(replica.connections):
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

    async def find() -> Address:
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
