import asyncio

import numpy as np
import orjson
import pytest

from service.api import vectors
from service.api.vectors import json_array, to_json


@pytest.mark.parametrize(
    "items", [[], [1], ["a", None, {"b": [1.5]}], [[1, 2], orjson.Fragment(b"{}")]]
)
async def test_an_array_written_item_by_item_is_the_array(items):
    assert to_json({"data": await json_array(items)}) == to_json({"data": items})


async def test_rows_of_numbers_come_back_as_they_were():
    rows = np.random.default_rng(1).standard_normal((7, 384), dtype=np.float32)
    found = orjson.loads(to_json({"data": await json_array(rows)}))["data"]
    np.testing.assert_array_equal(np.float32(found), rows)


async def test_others_have_their_turns_while_a_large_answer_is_written(monkeypatch):
    monkeypatch.setattr(vectors, "TURN_S", 0.0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await json_array(range(50))
    task.cancel()
    assert turns >= 50


async def test_a_small_answer_is_written_in_one_turn():
    loop = asyncio.get_running_loop()
    begun: list[str] = []
    loop.call_soon(begun.append, "another")
    await json_array([1, 2, 3])
    assert begun == []
