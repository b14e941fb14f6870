"""What a stream asks of the encoder: numbers, keys and conditions, and what a second writer does to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.ports import AppendCommand, AppendResult
from service.sessions.names import IDEMPOTENCY_KEY
from service.sessions.retention import Retention
from service.sessions.stores import MemoryStore
from tests.service.api.kit import PLAIN, TEXT, events_of, post_stream
from tests.service.api.reading_kit import ReadingApi, append, begin

Append = Callable[[AppendCommand], Awaitable[AppendResult]]


@pytest.fixture
def commands(api, monkeypatch) -> list[AppendCommand]:
    """The commands that reach the encoder."""
    seen: list[AppendCommand] = []
    append: Append = api.infini.append

    async def spy(command: AppendCommand) -> AppendResult:
        seen.append(command)
        return await append(command)

    monkeypatch.setattr(api.infini, "append", spy)
    return seen


@pytest.mark.usefixtures("session")
async def test_every_chunk_is_an_append_of_its_own_even_of_one_huge_piece(client, commands):
    events = events_of(await post_stream(client, TEXT.encode() * 20, "?chunk_chars=100"))
    assert {len(command.chunks) for command in commands} == {1}
    assert len(commands) == len(events) - 1 > 400


@pytest.mark.usefixtures("session")
async def test_with_first_seq_chunks_are_numbered_and_the_condition_is_about_the_first(
    client, commands
):
    headers = {**PLAIN, "if-match": '"a", "fake.0"'}
    events_of(await post_stream(client, TEXT.encode(), "?first_seq=0", headers))
    assert [command.first_seq for command in commands] == list(range(len(commands)))
    assert [command.if_match for command in commands] == [("a", "fake.0"), None, None]
    assert {command.idempotency_key for command in commands} == {None}


@pytest.mark.usefixtures("session")
async def test_without_first_seq_a_stream_has_a_key_and_each_append_follows_the_last_one(
    client, commands
):
    events_of(await post_stream(client, TEXT.encode()))
    events_of(await post_stream(client, b"More."))
    assert [command.first_seq for command in commands] == [None, 1, 2, None]
    assert [command.if_match for command in commands] == [None, ("fake.1",), ("fake.2",), None]
    *first, last = [command.idempotency_key for command in commands]
    assert (len({*first}), len({*first, last})) == (1, 2)
    assert all(command.key_moves for command in commands)
    assert all(IDEMPOTENCY_KEY.fullmatch(command.idempotency_key or "") for command in commands)


@pytest.mark.usefixtures("session")
async def test_two_streams_of_equal_text_are_never_merged(client, api):
    other_may_go, first_may_go_on = asyncio.Event(), asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield TEXT.encode()
        other_may_go.set()
        await first_may_go_on.wait()
        yield TEXT.encode()

    first = asyncio.ensure_future(post_stream(client, halting()))
    await other_may_go.wait()
    read = len(api.infini.session("public", "s1").texts)
    # What the first stream reads next is read by a stranger now, word for word.
    stranger = events_of(await post_stream(client, TEXT.encode()))
    assert all(event["replayed"] is False for event in stranger[:-1])
    first_may_go_on.set()
    *chunks, error = events_of(await asyncio.wait_for(first, 5))
    assert [event["seq"] for event in chunks] == list(range(read))
    assert error["error"]["code"] == "sequence_conflict"
    assert "another writer" in error["detail"].lower()
    assert error["provided_seq"] == read
    assert error["expected_seq"] == error["next_seq"] == read + len(stranger) - 1


@pytest.mark.usefixtures("session")
async def test_a_retry_that_finds_a_stranger_after_its_chunk_ends_the_stream(
    client, api, monkeypatch
):
    append: Append = api.infini.append
    calls = 0

    async def dying(command: AppendCommand) -> AppendResult:
        nonlocal calls
        calls += 1
        result = await append(command)
        if calls == 2:
            # The answer is lost with its replica; before the retry another writer comes.
            await append(AppendCommand(command.tenant, command.session_id, ("stranger",)))
            result = await append(command)
        return result

    monkeypatch.setattr(api.infini, "append", dying)
    *chunks, error = events_of(await post_stream(client, TEXT.encode()))
    assert [event["seq"] for event in chunks] == [0, 1]
    assert [event["replayed"] for event in chunks] == [False, True]
    assert error["error"]["code"] == "sequence_conflict"
    assert error["next_seq"] == 3


async def test_a_condition_is_about_what_the_stream_adds_and_not_about_what_it_replays():
    api = ReadingApi()
    text, half = b"hello world. more texts. the end", ["hello world."]
    async with api.client() as client:
        etag = (await begin(client))["etag"]
        await append(client, "s", *half)
        now = (await client.get("/v1/sessions/s")).headers["etag"]

        async def stream(tag: str) -> list[dict[str, Any]]:
            path = "/v1/sessions/s/stream?chunk_chars=12&first_seq=0"
            headers = {**PLAIN, "if-match": tag}
            return events_of(await client.post(path, content=text, headers=headers))

        replay, error = await stream(f'"{etag}"')
        assert replay["replayed"] is True
        assert (error["event"], error["error"]["code"]) == ("error", "precondition_failed")
        assert error["next_seq"] == 1
        *chunks, done = await stream(now)
        assert [event["replayed"] for event in chunks] == [True] + [False] * (len(chunks) - 1)
        assert (len(chunks), done["next_seq"]) == (3, 3)


async def test_a_retry_of_a_numbered_chunk_holds_no_condition_against_the_next(monkeypatch):
    api = ReadingApi()
    appended: Append = api.encoder.append

    async def dying(command: AppendCommand) -> AppendResult:
        await appended(command)
        # The answer is lost with its replica, and asked for again.
        return await appended(command)

    monkeypatch.setattr(api.encoder, "append", dying)
    async with api.client() as client:
        etag = (await begin(client))["etag"]
        events = events_of(
            await client.post(
                "/v1/sessions/s/stream?chunk_chars=12&first_seq=0",
                content=b"hello world. more texts. the end",
                headers={**PLAIN, "if-match": f'"{etag}"'},
            )
        )
    assert [event["event"] for event in events] == ["chunk", "chunk", "chunk", "done"]


async def test_a_stream_leaves_one_key_behind_however_long_it_is():
    api = ReadingApi(retention=Retention(answers=4))
    async with api.client() as client:
        await begin(client)
        # Ten in a row are alike, and every answer is asked for twice.
        appended: Append = api.encoder.append

        async def dying(command: AppendCommand) -> AppendResult:
            first = await appended(command)
            again = await appended(command)
            assert again.answers[0].replayed
            assert again.answers[0].seq == first.answers[0].seq
            return first

        api.encoder.append = dying  # type: ignore[method-assign]
        path = "/v1/sessions/s/stream?chunk_chars=10"
        events = events_of(await client.post(path, content=b"word word " * 50, headers=PLAIN))
    assert isinstance(api.store, MemoryStore)
    stored = api.store._sessions["public", "s"]
    assert (len(events), len(stored.chunks), len(stored.keys)) == (51, 4, 1)
