import asyncio
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from service.deployments.calls import Patience
from service.deployments.ports import RayEncoder
from service.errors import Conflict, OutcomeUnknown, RoundFull, ServiceError, Unavailable
from service.ports import (
    AppendCommand,
    AppendResult,
    AttentionCommand,
    EmbedResult,
    MemoryCommand,
    ModelInfo,
    QueryCommand,
    RevisitCommand,
    StageTimes,
)
from tests.service.deployments.fakes import FakeHandle, Script

INFO = ModelInfo("m", "infini", 384, 512, 304_128, "f", "b")
EMBEDDED = EmbedResult(np.zeros((1, 384), np.float32), 3, 0, StageTimes())
APPENDED = AppendResult((), 1, "e.1", np.zeros(384, np.float32), StageTimes(), 0)
HASTE = Patience(short=0.05, between_pings=0.02, silence=0.2)


def port_over(**scripts: Script) -> tuple[RayEncoder, FakeHandle]:
    handle = FakeHandle(**scripts)
    return RayEncoder("m", cast("DeploymentHandle[Any]", handle), HASTE), handle


def dies(times: int, result: Any, error: Exception | None = None) -> Script:
    left = [times]

    async def script(*_: Any, **__: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error or ActorDiedError()
        return result

    return script


async def forever(*_: Any, **__: Any) -> None:
    await asyncio.sleep(3600)


async def at_once(*_: Any, **__: Any) -> None:
    return None


async def test_info_is_asked_once() -> None:
    port, handle = port_over(info=dies(0, INFO))
    assert [await port.info(), await port.info()] == [INFO, INFO]
    assert handle.count("info") == 1


async def test_info_of_a_silent_model_is_unavailable_and_asked_again() -> None:
    port, handle = port_over(info=forever)
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            await port.info()
        assert caught.value.code == "model_unavailable"
    assert handle.count("info") == 2


@pytest.mark.parametrize("error", [ActorDiedError(), ActorUnavailableError("gone", b"1" * 16)])
async def test_embed_survives_the_death_of_a_replica(error: Exception) -> None:
    port, handle = port_over(embed=dies(1, EMBEDDED, error))
    assert await port.embed(["a"], truncate=True) is EMBEDDED
    assert handle.calls == [("embed", None, (["a"],), {"truncate": True})] * 2


async def test_what_is_asked_about_tokens_survives_the_death_of_a_replica() -> None:
    results = [object(), object(), object()]
    scripts = (dies(1, result) for result in results)
    port, handle = port_over(**dict(zip(("encode", "tokenize", "inspect"), scripts, strict=True)))
    command = AttentionCommand("a")
    asked = [
        await port.encode(("a",), truncate=True),
        await port.tokenize(("a",)),
        await port.inspect(command),
    ]
    assert [one is other for one, other in zip(asked, results, strict=True)] == [True] * 3
    assert handle.calls[::2] == handle.calls[1::2]
    assert handle.calls[::2] == [
        ("encode", None, (["a"],), {"truncate": True}),
        ("tokenize", None, (["a"],), {}),
        ("inspect", None, (command,), {}),
    ]


async def test_two_deaths_are_unavailable() -> None:
    port, handle = port_over(embed=dies(2, EMBEDDED))
    with pytest.raises(Unavailable):
        await port.embed(["a"], truncate=False)
    assert handle.count("embed") == 2


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (AppendCommand("t", "s", ("a",), first_seq=0), 2),
        (AppendCommand("t", "s", ("a",), idempotency_key="k"), 2),
        (AppendCommand("t", "s", ("a",)), 1),
        (AppendCommand("t", "s", ("a",), if_match=("e",)), 1),
    ],
)
async def test_only_an_append_that_names_its_chunks_is_repeated(
    command: AppendCommand, asked: int
) -> None:
    port, handle = port_over(append=dies(1, APPENDED))
    if asked == 2:
        assert await port.append(command) is APPENDED
    else:
        with pytest.raises(OutcomeUnknown, match="next_seq"):
            await port.append(command)
    assert handle.calls == [("append", "t/s", (command,), {})] * asked


@pytest.mark.parametrize(
    ("first_seq", "code"), [(None, "outcome_unknown"), (0, "model_unavailable")]
)
async def test_an_append_whose_replica_fell_silent_may_have_been_done(
    first_seq: int | None, code: str
) -> None:
    port, handle = port_over(append=forever, ping=forever)
    with pytest.raises(Unavailable) as caught:
        await port.append(AppendCommand("t", "s", ("a",), first_seq=first_seq))
    assert caught.value.code == code
    assert handle.count("append") == 1


async def test_an_append_that_no_replica_took_was_not_done() -> None:
    port, _ = port_over(append=dies(1, APPENDED, BackPressureError(1, 1)))
    with pytest.raises(Unavailable) as caught:
        await port.append(AppendCommand("t", "s", ("a",)))
    assert caught.value.code == "overloaded"


async def test_sessions_are_asked_where_their_state_is_and_again_after_a_death() -> None:
    results = [object(), object()]
    scripts = dict(zip(("revisit", "query"), (dies(1, one) for one in results), strict=True))
    port, handle = port_over(**scripts)
    look, ask = RevisitCommand("t", "s", 0, ("a",), ("e",)), QueryCommand("t", "s", ("a",))
    assert [await port.revisit(look), await port.query(ask)] == results
    assert handle.calls[::2] == handle.calls[1::2]
    assert handle.calls[::2] == [("revisit", "t/s", (look,), {}), ("query", "t/s", (ask,), {})]


async def test_errors_of_the_replica_arrive_as_themselves() -> None:
    conflict = Conflict("sequence_conflict", "no", extras={"expected_seq": 3})
    port, handle = port_over(append=dies(1, APPENDED, conflict))
    with pytest.raises(ServiceError) as caught:
        await port.append(AppendCommand("t", "s", ("a",), first_seq=0))
    assert caught.value is conflict
    assert handle.count("append") == 1


async def test_a_long_computation_is_awaited_while_its_model_lives() -> None:
    async def slow(*_: Any, **__: Any) -> EmbedResult:
        await asyncio.sleep(2 * HASTE.silence)
        return EMBEDDED

    port, handle = port_over(embed=slow, ping=at_once)
    assert await port.embed(["a"], truncate=False) is EMBEDDED
    assert handle.count("ping") > 5


async def test_a_silent_model_is_given_up_and_its_call_cancelled() -> None:
    cancelled = asyncio.Event()

    async def stuck(*_: Any, **__: Any) -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    port, _ = port_over(embed=stuck, ping=forever)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(port.embed(["a"], truncate=False), 5 * HASTE.silence)
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_a_caller_that_leaves_cancels_the_call() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(*_: Any, **__: Any) -> None:
        started.set()
        try:
            await forever()
        finally:
            cancelled.set()

    port, _ = port_over(embed=stuck, ping=at_once)
    caller = asyncio.ensure_future(port.embed(["a"], truncate=False))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_check_passes_and_fails() -> None:
    port, _ = port_over(check=at_once)
    await port.check()
    port, _ = port_over(check=dies(1, None))
    with pytest.raises(Unavailable):
        await port.check()


async def refuses(*_: Any, **__: Any) -> None:
    raise RoundFull("overloaded", "full", extras={"retry_after_s": 3, "next_seq": 7})


def holding_back(**scripts: Script) -> tuple[RayEncoder, FakeHandle]:
    handle = FakeHandle(**scripts)
    return RayEncoder("m", cast("DeploymentHandle[Any]", handle), Patience(overload=0.2)), handle


async def test_a_model_that_has_no_room_is_not_asked_again_at_once() -> None:
    port, handle = holding_back(embed=refuses)
    with pytest.raises(Unavailable) as first:
        await port.embed(["a"], truncate=False)
    assert first.value.extras == {"retry_after_s": 3, "next_seq": 7}
    with pytest.raises(Unavailable) as second:
        await port.embed(["a"], truncate=False)
    assert (second.value.code, second.value.extras) == ("overloaded", {"retry_after_s": 3})
    assert handle.count("embed") == 1
    handle.scripts["embed"] = dies(0, EMBEDDED)
    await asyncio.sleep(0.25)
    assert await port.embed(["a"], truncate=False) is EMBEDDED


async def busy_aside(*_: Any, **__: Any) -> None:
    raise Unavailable("overloaded", "Too many requests look at memories; try again.")


async def test_a_refusal_of_one_kind_or_size_says_nothing_of_other_requests() -> None:
    port, _ = holding_back(inspect=busy_aside, memory=busy_aside, embed=dies(0, EMBEDDED))
    for call in (port.inspect(AttentionCommand("a")), port.memory(MemoryCommand("t", "s"))):
        with pytest.raises(Unavailable):
            await call
        assert await port.embed(["a"], truncate=False) is EMBEDDED


async def test_what_needs_no_forward_pass_is_asked_of_a_model_that_has_no_room() -> None:
    result = object()
    port, handle = holding_back(
        embed=refuses, tokenize=dies(0, result), inspect=dies(0, result), memory=dies(0, result)
    )
    with pytest.raises(Unavailable):
        await port.embed(["a"], truncate=False)
    asked: list[object] = [
        await port.tokenize(["a"]),
        await port.inspect(AttentionCommand("a")),
        await port.memory(MemoryCommand("t", "s")),
    ]
    assert asked == [result] * 3
    with pytest.raises(RoundFull):
        await port.inspect(AttentionCommand("a", context="b"))
    with pytest.raises(RoundFull):
        await port.query(QueryCommand("t", "s", ("a",)))
    assert handle.count("inspect") == 1


async def test_where_there_are_other_replicas_they_are_asked() -> None:
    port, handle = port_over(embed=refuses)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await port.embed(["a"], truncate=False)
    assert handle.count("embed") == 2


async def test_too_many_calls_held_back_are_an_overload() -> None:
    error = BackPressureError(num_queued_requests=1000, max_queued_requests=1000)
    port, _ = port_over(embed=dies(1, EMBEDDED, error))
    with pytest.raises(Unavailable, match="Too many requests") as refused:
        await port.embed(["a"], truncate=False)
    assert refused.value.code == "overloaded"
