import asyncio

import pytest

from service.errors import Unavailable
from service.sessions.locks import KeyedLocks


async def test_one_at_a_time_in_the_order_of_arrival():
    locks, order, inside = KeyedLocks(20), [], 0

    async def work(number: int) -> None:
        nonlocal inside
        await locks.acquire("key")
        inside += 1
        assert inside == 1
        await asyncio.sleep(0)
        order.append(number)
        inside -= 1
        locks.release("key")

    await asyncio.gather(*(work(number) for number in range(20)))
    assert order == list(range(20))
    assert len(locks) == 0


async def test_keys_do_not_wait_for_each_other():
    locks = KeyedLocks(0)
    async with asyncio.timeout(1):
        await locks.acquire("a")
        await locks.acquire("b")
    assert len(locks) == 2


async def test_cancelled_waiters_leave_nothing_behind():
    locks = KeyedLocks(1)
    await locks.acquire("key")
    waiter = asyncio.create_task(locks.acquire("key"))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    assert waiter.cancelled()
    assert len(locks) == 1
    locks.release("key")
    assert len(locks) == 0


async def test_a_waiter_cancelled_at_the_very_moment_of_its_turn_passes_it_on():
    locks = KeyedLocks(2)
    await locks.acquire("key")
    first, second = (asyncio.create_task(locks.acquire("key")) for _ in range(2))
    await asyncio.sleep(0)
    locks.release("key")
    first.cancel()
    async with asyncio.timeout(1):
        await second
    assert first.cancelled()
    locks.release("key")
    assert len(locks) == 0


async def test_only_so_many_may_wait():
    locks = KeyedLocks(2)
    await locks.acquire("key")
    waiters = [asyncio.create_task(locks.acquire("key")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await locks.acquire("key")
    assert caught.value.code == "overloaded"
    for waiter in waiters:
        locks.release("key")
        await waiter
    locks.release("key")
    assert len(locks) == 0


async def test_another_task_may_release():
    locks = KeyedLocks(0)
    await locks.acquire("key")

    async def end() -> None:
        locks.release("key")

    await asyncio.create_task(end())
    async with asyncio.timeout(1):
        await locks.acquire("key")
