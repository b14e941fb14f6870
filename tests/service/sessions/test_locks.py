import asyncio

import pytest

from service.sessions.locks import KeyedLocks


async def test_one_at_a_time_in_the_order_of_arrival():
    locks, order, inside = KeyedLocks(), [], 0

    async def work(number: int) -> None:
        nonlocal inside
        async with locks.hold("key"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            order.append(number)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(20)))
    assert order == list(range(20))
    assert len(locks) == 0


async def test_keys_do_not_wait_for_each_other():
    locks = KeyedLocks()
    async with locks.hold("a"), asyncio.timeout(1), locks.hold("b"):
        assert len(locks) == 2


async def test_cancelled_waiters_and_failing_holders_leave_nothing_behind():
    locks = KeyedLocks()

    async def wait() -> None:
        async with locks.hold("key"):
            pytest.fail("must never get the lock")

    async with locks.hold("key"):
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
        assert len(locks) == 1
    with pytest.raises(RuntimeError):
        async with locks.hold("key"):
            raise RuntimeError
    assert len(locks) == 0
