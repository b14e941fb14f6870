"""A second look, on the real checkpoint."""

import asyncio

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.loading import LoadedEncoder
from models.memory import Memory
from service.encoder_node import EncoderNode
from service.errors import Conflict, Unprocessable
from service.ports import AppendCommand, RevisitCommand, RevisitResult
from tests.service.encoder_node.conftest import StartNode
from tests.service.encoder_node.sessions import TENANT, catalog, memory_of, open_session, stored
from tests.texts import SENTENCES

LONG = " ".join(SENTENCES)
CHUNKS = [*SENTENCES[:4], "", LONG, "the end"]


@pytest.fixture(params=["infini"])
async def node(request: pytest.FixtureRequest, start_node: StartNode):
    async with start_node(request.param) as running:
        yield running


async def revisit(
    node: EncoderNode, session: str, chunks: list[str], first: int = 0
) -> RevisitResult:
    return await node.revisit(RevisitCommand(TENANT, session, first, tuple(chunks)))


def by_hand(
    model: LoadedEncoder, text: str, memory: Memory
) -> tuple[NDArray[np.float64], int, int]:
    """Encode every segment of a text with one and the same memory, and take the mean over their tokens."""
    [segments] = model.tokenizer.segments([text])
    total = np.zeros(model.encoder.config.width)
    with torch.inference_mode():
        for segment in segments:
            total += model.encoder([segment], [memory]).sums[0].numpy()
    content = sum(segment.content_tokens for segment in segments)
    return total / np.linalg.norm(total), content, content + 2 * len(segments)


@pytest.mark.parametrize("node", ["infini", "infini-plus"], indirect=True)
async def test_every_segment_meets_the_memory_of_the_whole_document(node: EncoderNode):
    session = await open_session(node, *CHUNKS)
    before, memory = await stored(node, session), await memory_of(node, session)
    result = await revisit(node, session, CHUNKS)
    read = 0
    for chunk, text in zip(result.chunks, CHUNKS, strict=True):
        expected, content, encoded = by_hand(node._model, text, memory)
        np.testing.assert_allclose(chunk.embedding, expected, atol=1e-5)
        assert chunk.tokens == content
        read += encoded
    assert result.read_tokens == read
    assert [chunk.seq for chunk in result.chunks] == list(range(len(CHUNKS)))
    assert await stored(node, session) == before
    assert (await catalog(node).get(TENANT, session)).completed


async def test_the_first_chunk_now_knows_what_came_after_it(node: EncoderNode):
    session = await open_session(node, *CHUNKS)
    [first] = (await node.embed(CHUNKS[:1], truncate=False)).vectors
    [again] = (await revisit(node, session, CHUNKS[:1])).chunks
    assert np.abs(first - again.embedding).max() > 1e-3
    other = await open_session(node, CHUNKS[0], "something else altogether")
    [elsewhere] = (await revisit(node, other, CHUNKS[:1])).chunks
    assert np.abs(elsewhere.embedding - again.embedding).max() > 1e-3


async def test_grouping_and_company_change_nothing(node: EncoderNode):
    session = await open_session(node, *CHUNKS)
    whole = await revisit(node, session, CHUNKS)
    company = [asyncio.create_task(node.embed(SENTENCES, truncate=False)) for _ in range(2)]
    parts = await asyncio.gather(
        *(revisit(node, session, [one], i) for i, one in enumerate(CHUNKS))
    )
    await asyncio.gather(*company)
    for one, part in zip(whole.chunks, parts, strict=True):
        np.testing.assert_allclose(part.chunks[0].embedding, one.embedding, atol=1e-5)


async def test_after_it_nothing_is_appended_and_everything_replayed(node: EncoderNode):
    session = await open_session(node, *CHUNKS)
    await revisit(node, session, CHUNKS)
    with pytest.raises(Conflict) as refused:
        await node.append(AppendCommand(TENANT, session, ("more",), len(CHUNKS)))
    assert refused.value.code == "session_completed"
    again = await node.append(AppendCommand(TENANT, session, tuple(CHUNKS), 0))
    assert all(answer.replayed for answer in again.answers)
    with pytest.raises(Conflict) as other:
        await revisit(node, session, ["other text"])
    assert other.value.code == "sequence_conflict"


async def test_its_tokens_are_counted_as_its_own(node: EncoderNode):
    session = await open_session(node, "one two", "three")
    result = await revisit(node, session, ["one two", "three"])
    lines = node.exposition().decode().splitlines()
    counts = {
        kind: float(line.rpartition(" ")[2])
        for kind in ("session", "revisit")
        for line in lines
        if line.startswith(f'longstream_tokens_total{{kind="{kind}"')
    }
    assert counts == {"session": 3, "revisit": 7}
    assert result.read_tokens == 7
    assert 'longstream_session_events_total{event="complete"} 1.0' in lines


async def test_a_model_without_memory_has_nothing_to_look_with(start_node: StartNode):
    async with start_node("multi-head") as stateless:
        with pytest.raises(Unprocessable) as refused:
            await revisit(stateless, "any", ["text"])
    assert refused.value.code == "model_has_no_memory"
