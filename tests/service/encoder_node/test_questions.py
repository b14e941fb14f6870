"""Questions to sessions of a model with a recall head, on the real checkpoint."""

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import DEFAULT_WEIGHTS
from models.loading import LoadedEncoder, load_encoder
from models.packing import Segment
from models.recall import CROSS, GRAM, RecallAnswer, RecallHead
from service.config import ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.encoder_node import EncoderNode
from service.encoder_node.loading import describe
from service.encoder_node.recalling import NOTHING
from service.engine import Engine
from service.errors import Conflict, Gone, NotFound, Unprocessable
from service.metrics import EncoderMetrics
from service.ports import AppendCommand, QueryCommand, QueryResult
from tests.service.encoder_node.conftest import StartNode
from tests.service.encoder_node.sessions import TENANT, catalog, memory_of, open_session, stored
from tests.texts import SENTENCES

TOLD = "The door code of Ida Holm is 40172. Remember it: 40172 is the door code of Ida Holm."
QUESTION = "What is the door code of Ida Holm?"
TEXTS = (QUESTION, "What is the pass key of Boris Lang?", "")
TOKENS = (9, 9, 0)


class Asked:
    """What the head was asked, and on which threads; it answers as always."""

    def __init__(self) -> None:
        self.questions: list[tuple[Tensor, Segment, Mapping[str, Tensor]]] = []
        self.threads: set[str] = set()


@pytest.fixture(scope="module")
def model() -> LoadedEncoder:
    return load_encoder("infini-plus", DEFAULT_WEIGHTS)


@pytest.fixture
async def node(tmp_path: Path, model: LoadedEncoder) -> AsyncIterator[EncoderNode]:
    """Start a node as `EncoderNode.start` does, over weights that are loaded once."""
    config = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256))
    metrics = EncoderMetrics("infini-plus")
    engine = Engine(model.encoder, 256, 10_000, metrics)
    info = describe(ModelConfig(id="infini-plus", attention="infini-plus"), model)
    running = EncoderNode(model, info, metrics, engine, config.limits)
    await running._run(256)
    await running._open(config)
    yield running
    await running.stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    seen, answers = Asked(), RecallHead.answers

    def watched(
        head: RecallHead,
        states: Sequence[Tensor],
        segments: Sequence[Segment],
        parts: Mapping[str, Tensor],
    ) -> list[RecallAnswer]:
        seen.questions += [(*each, parts) for each in zip(states, segments, strict=True)]
        seen.threads.add(threading.current_thread().name)
        return answers(head, states, segments, parts)

    monkeypatch.setattr(RecallHead, "answers", watched)
    return seen


async def query(node: EncoderNode, session: str, *texts: str) -> QueryResult:
    return await node.query(QueryCommand(TENANT, session, texts))


async def test_questions_are_plain_queries_whatever_the_session_has_read(node: EncoderNode):
    session = await open_session(node, *SENTENCES[:4], TOLD)
    result = await query(node, session, *TEXTS)
    plain = await node.embed(TEXTS, truncate=False)
    np.testing.assert_allclose(
        [answer.embedding for answer in result.answers], plain.vectors, atol=1e-5
    )
    assert tuple(answer.tokens for answer in result.answers) == TOKENS
    assert (result.next_seq, result.read_tokens) == (5, sum(TOKENS) + 2 * 3)
    assert result.etag == (await catalog(node).get(TENANT, session)).etag


async def test_what_the_session_was_told_is_found_and_nothing_else(
    node: EncoderNode, model: LoadedEncoder
):
    session = await open_session(node, *SENTENCES[:3], TOLD, *SENTENCES[3:5])
    found, unknown, empty = (
        answer.recall for answer in (await query(node, session, *TEXTS)).answers
    )
    assert model.encoder.recall is not None
    least = model.encoder.recall.options.least_vote
    assert found is not None
    assert (found.answer, found.found) == ("40172", True)
    assert least <= found.confidence <= 1
    for recalled in (unknown, empty):
        assert recalled is not None
        assert (recalled.answer, recalled.found) == (None, False)
        assert 0 <= recalled.confidence < least


async def test_the_head_sees_the_question_and_the_sessions_memory(
    node: EncoderNode, model: LoadedEncoder, asked: Asked
):
    session = await open_session(node, TOLD, *SENTENCES[:5])
    before, memory = await stored(node, session), await memory_of(node, session)
    kept = {name: part.clone() for name, part in memory.parts.items()}
    await query(node, session, *TEXTS)
    head, segments = model.encoder.recall, [cut[0] for cut in model.tokenizer.segments(TEXTS)]
    assert head is not None
    assert len(asked.questions) == len(segments)  # in steps, so in another order
    by_segment = {segment: (states, parts) for states, segment, parts in asked.questions}
    for expected in segments:
        states, parts = by_segment[expected]
        with torch.inference_mode():
            [alone] = model.encoder.states([expected], head.options.layer)
        np.testing.assert_allclose(states.numpy(), alone.numpy(), atol=1e-4)
        assert {GRAM, CROSS} <= parts.keys() == kept.keys()
        assert all(torch.equal(part, kept[name]) for name, part in parts.items())
    assert all(name.startswith("recall") for name in asked.threads)
    assert await stored(node, session) == before


async def test_an_empty_memory_is_not_asked(node: EncoderNode, asked: Asked):
    session = await open_session(node)
    [answer] = (await query(node, session, QUESTION)).answers
    assert answer.recall == NOTHING
    assert asked.questions == []


async def test_the_newest_memory_is_asked_while_the_session_is_read(node: EncoderNode):
    async def recalled(seq: int) -> str | None:
        result = await query(node, session, QUESTION)
        assert result.next_seq == seq
        [answer] = result.answers
        return answer.recall.answer if answer.recall else None

    session, found = await open_session(node), []
    for seq, text in enumerate((SENTENCES[0], TOLD, SENTENCES[1])):
        await node.append(AppendCommand(TENANT, session, (text,), seq))
        found.append(await recalled(seq + 1))
    assert found == [None, "40172", "40172"]
    await catalog(node).complete(TENANT, session)
    assert await recalled(3) == "40172"


async def test_a_question_over_the_window_is_refused_with_what_to_do(node: EncoderNode):
    session = await open_session(node, SENTENCES[0])
    with pytest.raises(Unprocessable, match="at most 254: ask a shorter one") as refused:
        await query(node, session, "short", "word " * 255)
    assert (refused.value.code, refused.value.param) == ("input_too_long", "texts.1")
    assert refused.value.extras == {"max_chunk_tokens": 256}
    assert len((await query(node, session, "word " * 254)).answers) == 1


async def test_sessions_that_cannot_be_asked(node: EncoderNode):
    with pytest.raises(NotFound):
        await query(node, "none", "a")
    session = await open_session(node, SENTENCES[0])
    await catalog(node).delete(TENANT, session)
    with pytest.raises(Gone):
        await query(node, session, "a")


@pytest.mark.parametrize("attention", ["infini", "infini-plus"])
async def test_a_model_without_a_head_remembers_nothing_and_loads_no_state(
    start_node: StartNode, attention: str
):
    """The nodes of `start_node` take no packaged adapter, and with it no packaged head."""
    async with start_node(attention) as plain:
        session = await open_session(plain, *SENTENCES[:2], TOLD)
        assert plain._sessions is not None
        plain._sessions.appender.tools.hot.drop(TENANT, session)
        result = await query(plain, session, *TEXTS)
        assert [answer.recall for answer in result.answers] == [None] * 3
        assert len(plain._sessions.appender.tools.hot) == 0
        vectors = (await plain.embed(TEXTS, truncate=False)).vectors
        got = [answer.embedding for answer in result.answers]
        np.testing.assert_allclose(got, vectors, atol=1e-5)
        counted = f'longstream_tokens_total{{kind="stateless",model="{attention}"}} '.encode()
        [line] = [x for x in plain.exposition().splitlines() if x.startswith(counted)]
        read = sum(TOKENS) + 2 * 3
        assert float(line.removeprefix(counted)) == 2 * read  # the query's, and the same again


async def test_other_weights_and_no_memory_are_refused(start_node: StartNode, node: EncoderNode):
    session = await open_session(node, SENTENCES[0])
    async with start_node("infini-plus") as other:  # on the same store, without adapter and head
        with pytest.raises(Conflict) as refused:
            await query(other, session, "a")
    assert refused.value.code == "model_changed"
    async with start_node("multi-head") as stateless:
        with pytest.raises(Unprocessable) as no_memory:
            await query(stateless, session, "a")
    assert no_memory.value.code == "model_has_no_memory"
