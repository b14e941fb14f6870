"""Two tenants may call their sessions the same: stores, hot states and locks keep them apart."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from service.errors import NotFound
from tests.service.sessions.begun import begin_session
from tests.service.sessions.bench import Bench
from tests.service.sessions.fakes import INFO, TENANT, command

OTHER = "tenant-b"


async def test_two_sessions_of_one_name_have_nothing_in_common():
    bench = await Bench().begin()
    await begin_session(bench.catalog, OTHER, INFO, "s")
    told: dict[str, list[np.ndarray]] = {TENANT: [], OTHER: []}
    texts = {TENANT: ["a", "b", "c"], OTHER: ["x", "y", "z"]}
    for seq in range(3):
        for tenant in (TENANT, OTHER):
            append = replace(command(texts[tenant][seq], first=seq), tenant=tenant)
            result = await bench.append(append)
            told[tenant] += [answer.embedding for answer in result.answers]
    for tenant in (TENANT, OTHER):
        expected, _ = bench.reader.fold(texts[tenant])
        np.testing.assert_array_equal(told[tenant], expected)
    assert len(bench.hot) == 2
    await bench.catalog.delete(OTHER, "s")
    assert (await bench.catalog.get(TENANT, "s")).next_seq == 3


async def test_a_hot_state_is_nobody_elses():
    bench = await Bench().begin()
    await bench.append(command("a", first=0))
    assert len(bench.hot) == 1
    with pytest.raises(NotFound):
        await bench.append(replace(command("b"), tenant=OTHER))


async def test_a_locked_session_blocks_nobody_elses():
    bench = await Bench().begin()
    await begin_session(bench.catalog, OTHER, INFO, "s")
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold(_: str) -> None:
        bench.reader.meanwhile = None
        entered.set()
        await release.wait()

    bench.reader.meanwhile = hold
    held = asyncio.ensure_future(bench.append(command("a")))
    await entered.wait()
    result = await asyncio.wait_for(bench.append(replace(command("x"), tenant=OTHER)), 5)
    assert result.next_seq == 1
    assert not held.done()
    release.set()
    assert (await held).next_seq == 1
