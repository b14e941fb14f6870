"""Questions to sessions, on the real checkpoint, with a recall head that is played."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import DEFAULT_WEIGHTS
from models.loading import LoadedEncoder, load_encoder
from models.memory import Memory
from models.packing import Segment
from service.config import EngineConfig, ModelConfig, ServiceConfig
from service.encoder_node import EncoderNode
from service.encoder_node.loading import describe
from service.encoder_node.recalling import NOTHING, Recaller
from service.engine import Engine
from service.errors import Conflict, Gone, NotFound, Unavailable, Unprocessable
from service.metrics import EncoderMetrics
from service.ports import AppendCommand, QueryCommand, QueryResult, Recollection
from tests.service.encoder_node.conftest import StartNode
from tests.service.encoder_node.sessions import TENANT, catalog, open_session, stored
from tests.texts import SENTENCES

TEXTS = ("What is the pass key?", "Who opened the letter?", "")


@dataclass
class Found:
    digits: str
    confidence: tuple[float, ...]
    found: bool


class PlayedHead:
    """Remembers as many words as the memory has read; answers what it was shown."""

    def __init__(self) -> None:
        self.asked: list[tuple[Tensor, Segment, Mapping[str, Tensor]]] = []
        self.threads: set[str] = set()
        self.answers = [Found("73622", (0.9, 1.004, 0.7), found=True), Found("", (), found=False)]

    def answer(self, states: Tensor, segment: Segment, parts: Mapping[str, Tensor]) -> Found:
        self.asked.append((states, segment, parts))
        self.threads.add(threading.current_thread().name)
        return self.answers[len(self.asked) % 2 - 1]


def with_recall(model: LoadedEncoder) -> LoadedEncoder:
    """Give a model's memory a part of the head's own, as a model with a head has one."""
    encoder, empty = model.encoder, model.encoder.empty_memory

    def empty_memory() -> Memory:
        memory = empty()
        return Memory({**memory.parts, "recall.gram": torch.zeros(4, 4)}, memory.tokens_seen)

    encoder.empty_memory = empty_memory  # type: ignore[method-assign]
    return model


@pytest.fixture
def head() -> PlayedHead:
    return PlayedHead()


@pytest.fixture
async def node(tmp_path: Path, head: PlayedHead) -> AsyncIterator[EncoderNode]:
    config = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256))
    loaded = with_recall(load_encoder("infini", DEFAULT_WEIGHTS, adapter="none"))
    metrics = EncoderMetrics("infini")
    engine = Engine(loaded.encoder, 256, 10_000, metrics)
    info = describe(ModelConfig(id="infini", attention="infini"), loaded)
    running = EncoderNode(loaded, info, metrics, engine, config.limits, head)
    await running._run(256)
    await running._open(config)
    yield running
    await running.stop()


async def query(node: EncoderNode, session: str, *texts: str) -> QueryResult:
    return await node.query(QueryCommand(TENANT, session, texts))


async def test_questions_are_plain_queries_whatever_the_session_has_read(node: EncoderNode):
    session = await open_session(node, *SENTENCES[:5])
    result = await query(node, session, *TEXTS)
    plain = await node.embed(TEXTS, truncate=False)
    np.testing.assert_allclose(
        [answer.embedding for answer in result.answers], plain.vectors, atol=1e-5
    )
    assert [answer.tokens for answer in result.answers] == [6, 5, 0]
    assert (result.next_seq, result.read_tokens) == (5, 17)
    assert result.etag == (await catalog(node).get(TENANT, session)).etag


async def test_the_head_sees_the_question_and_the_sessions_parts_of_its_own(
    node: EncoderNode, head: PlayedHead
):
    session = await open_session(node, *SENTENCES[:5])
    before = await stored(node, session)
    result = await query(node, session, *TEXTS)
    assert [answer.recall for answer in result.answers] == [
        Recollection("73622", 0.7, found=True),
        Recollection(None, 0.0, found=False),
        Recollection("73622", 0.7, found=True),
    ]
    segments = [segments[0] for segments in node._model.tokenizer.segments(TEXTS)]
    for (states, segment, parts), expected in zip(head.asked, segments, strict=True):
        with torch.inference_mode():
            empty = node._model.encoder.empty_memory()
            tokens = node._model.encoder([expected], [empty]).tokens
        np.testing.assert_allclose(states.numpy(), tokens.numpy(), atol=1e-4)
        assert segment == expected
        assert list(parts) == ["gram"]
    assert all(name.startswith("recall") for name in head.threads)
    assert await stored(node, session) == before


async def test_an_empty_memory_is_not_asked(node: EncoderNode, head: PlayedHead):
    session = await open_session(node)
    [answer] = (await query(node, session, TEXTS[0])).answers
    assert answer.recall == NOTHING
    assert head.asked == []


async def test_the_newest_memory_is_asked_while_the_session_is_read(node: EncoderNode):
    session = await open_session(node)
    for seq, text in enumerate(SENTENCES[:3]):
        await node.append(AppendCommand(TENANT, session, (text,), seq))
        assert (await query(node, session, TEXTS[0])).next_seq == seq + 1
    await catalog(node).complete(TENANT, session)
    assert (await query(node, session, TEXTS[0])).next_seq == 3


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


async def test_a_model_without_a_head_remembers_nothing_and_loads_no_state(start_node: StartNode):
    async with start_node("infini") as plain:
        session = await open_session(plain, *SENTENCES[:3])
        assert plain._sessions is not None
        plain._sessions.appender.tools.hot.drop(TENANT, session)
        result = await query(plain, session, *TEXTS)
        assert [answer.recall for answer in result.answers] == [None] * 3
        assert len(plain._sessions.appender.tools.hot) == 0
        vectors = (await plain.embed(TEXTS, truncate=False)).vectors
        got = [answer.embedding for answer in result.answers]
        np.testing.assert_allclose(got, vectors, atol=1e-5)
        counted = b'longstream_tokens_total{kind="stateless",model="infini"} '
        [line] = [x for x in plain.exposition().splitlines() if x.startswith(counted)]
        assert float(line.removeprefix(counted)) == 17 + 17  # the query's, and then the same again


async def test_other_weights_and_no_memory_are_refused(
    start_node: StartNode, node: EncoderNode, tmp_path: Path
):
    session = await open_session(node, SENTENCES[0])
    config = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256))
    changed = ModelConfig(id="infini", attention="infini", adapter="none", memory_rule="delta")
    other = await EncoderNode.start(changed, config)
    with pytest.raises(Conflict) as refused:
        await query(other, session, "a")
    assert refused.value.code == "model_changed"
    await other.stop()
    async with start_node("multi-head") as stateless:
        with pytest.raises(Unprocessable) as no_memory:
            await query(stateless, session, "a")
    assert no_memory.value.code == "model_has_no_memory"


async def test_a_head_at_work_holds_nobody_up_and_is_refused_at_the_end(head: PlayedHead):
    go = threading.Event()

    class Slow(PlayedHead):
        def answer(self, states: Tensor, segment: Segment, parts: Mapping[str, Tensor]) -> Found:
            assert go.wait(10)
            return super().answer(states, segment, parts)

    recaller, memory = Recaller(Slow()), Memory({"recall.gram": torch.ones(2, 2)}, 1)
    states, segment = np.zeros((2, 4), np.float32), Segment((0, 1))
    task = asyncio.create_task(recaller.recall([states], [segment], memory))
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    assert (await task)[0].found
    assert await recaller.recall([states], [segment], Memory({"matrix": torch.ones(1)}, 1)) == [
        NOTHING
    ]
    recaller.close()
    with pytest.raises(Unavailable):
        await recaller.recall([states], [segment], memory)
