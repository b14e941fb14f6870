import asyncio

from loadtests.bench.load import Answer
from loadtests.bench.recovery import STEADY, recovery_s

BOUND_S = 0.1
SLOW_S = 0.2


class Server:
    """Answers slowly or refuses for some questions, then as it should."""

    def __init__(self, *troubles: float | None) -> None:
        self.troubles = list(troubles)
        self.asked = 0

    async def ask(self) -> Answer:
        self.asked += 1
        trouble = self.troubles.pop(0) if self.troubles else 0.0
        if trouble is None:
            return Answer("refused")
        await asyncio.sleep(trouble)
        return Answer("ok")


async def test_a_server_that_is_itself_has_recovered_at_once():
    assert await recovery_s(Server().ask, BOUND_S, 0.0) < BOUND_S


async def test_slow_answers_and_refusals_delay_it_and_one_fast_answer_is_not_enough():
    server = Server(SLOW_S, None, 0.0, SLOW_S)
    assert await recovery_s(server.ask, BOUND_S, 0.0) > 2 * SLOW_S
    assert server.asked == 4 + STEADY


async def test_nobody_is_waited_for_forever():
    server = Server(*[None] * 1000)
    assert 0.3 <= await recovery_s(server.ask, BOUND_S, 0.0, give_up_s=0.3) < 5
    assert server.asked < 100


async def test_nothing_is_asked_before_the_overload_is_over():
    server = Server()
    task = asyncio.create_task(recovery_s(server.ask, BOUND_S, 0.3))
    await asyncio.sleep(0.1)
    assert server.asked == 0
    assert await task < BOUND_S
