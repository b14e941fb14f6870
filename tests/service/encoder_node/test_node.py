"""A whole encoder process without Ray: real weights, real engine, real SQLite file."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from models.encoder import Encoder
from models.loading import load_encoder
from models.weights import locate
from service.config import ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.encoder_node import EncoderNode
from service.errors import BadRequest, ConfigError, ModelLoadError, Unavailable, Unprocessable
from service.ports import AppendCommand, ReadCommand
from service.sessions.catalog import SessionCatalog
from service.sessions.stores import SQLITE_FILE, open_store
from tests.service.sessions.begun import begin_session
from tests.texts import SENTENCES

LONG = " ".join(SENTENCES)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ServiceConfig:
    return ServiceConfig(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(params=["multi-head", "infini"])
async def node(request: pytest.FixtureRequest, config: ServiceConfig) -> AsyncIterator[EncoderNode]:
    running = await EncoderNode.start(ModelConfig(id="m", attention=request.param), config)
    yield running
    await running.stop()


@pytest.fixture
async def infini(config: ServiceConfig) -> AsyncIterator[EncoderNode]:
    running = await EncoderNode.start(ModelConfig(id="infini", attention="infini"), config)
    yield running
    await running.stop()


async def open_session(config: ServiceConfig, node: EncoderNode) -> str:
    async with open_store(config.sessions.store, config.data_dir) as store:
        record = await begin_session(SessionCatalog(store), "public", await node.info())
    return record.id


async def read(node: EncoderNode, session: str, groups: list[list[str]]) -> np.ndarray:
    vectors, seq = [], 0
    for group in groups:
        result = await node.append(AppendCommand("public", session, tuple(group), seq))
        vectors += [answer.embedding for answer in result.answers]
        seq = result.next_seq
    return np.stack(vectors)


async def test_short_texts_come_back_at_unit_length_and_in_order(node: EncoderNode):
    result = await node.embed([*SENTENCES[:5], ""], truncate=False)
    assert result.vectors.shape == (6, 384)
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), 1, atol=1e-6)
    alone = await node.embed([SENTENCES[3]], truncate=False)
    np.testing.assert_allclose(result.vectors[3], alone.vectors[0], atol=1e-5)
    assert result.times.infer > 0


async def test_a_text_over_the_window_is_never_cut_silently(node: EncoderNode):
    has_memory = (await node.info()).memory_bytes > 0
    if has_memory:
        texts = [LONG, f"{LONG} Another ending."]
        vectors = (await node.embed(texts, truncate=False)).vectors
        assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
        return
    with pytest.raises(Unprocessable) as refused:
        await node.embed(["short", LONG], truncate=False)
    assert refused.value.code == "input_too_long"
    assert refused.value.param == "input.1"
    cut = await node.embed(["short", LONG], truncate=True)
    assert cut.truncated_tokens > 100
    assert cut.vectors.shape == (2, 384)


async def test_a_long_text_is_the_document_vector_of_a_session_with_it(
    infini: EncoderNode, config: ServiceConfig
):
    session = await open_session(config, infini)
    command = AppendCommand("public", session, (LONG,), 0, want_document=True)
    result = await infini.append(command)
    stateless = await infini.embed([LONG], truncate=False)
    assert result.document is not None
    np.testing.assert_allclose(stateless.vectors[0], result.document, atol=1e-5)


async def test_a_chunk_is_the_mean_over_all_its_segments_by_hand(
    infini: EncoderNode, config: ServiceConfig
):
    loaded = load_encoder("infini", ModelConfig(id="m", attention="infini").weights)
    segments = loaded.tokenizer.segments([LONG])[0]
    assert len(segments) > 2
    memory, total = loaded.encoder.empty_memory(), np.zeros(384)
    with torch.inference_mode():
        for segment in segments:
            output = loaded.encoder([segment], [memory])
            assert output.memories is not None
            memory, total = output.memories[0], total + output.sums[0].numpy()
    session = await open_session(config, infini)
    [answer] = (await infini.append(AppendCommand("public", session, (LONG,), 0))).answers
    np.testing.assert_allclose(answer.embedding, total / np.linalg.norm(total), atol=1e-5)
    assert answer.tokens == sum(segment.content_tokens for segment in segments)


async def test_an_embedding_request_that_fails_leaves_no_work_behind(tmp_path: Path):
    tight = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256, queue_tokens=512))
    node = await EncoderNode.start(ModelConfig(id="m", attention="infini"), tight)
    long = node.embed([LONG] * 3, truncate=False)
    crowd = [asyncio.create_task(node.embed([LONG] * 6 + SENTENCES, truncate=False)), long]
    done = await asyncio.gather(*crowd, return_exceptions=True)
    assert any(isinstance(result, Unavailable) for result in done)
    await asyncio.sleep(0)
    assert node._engine.queued_tokens == 0
    assert len((await node.embed(["hi"], truncate=False)).vectors) == 1
    await node.stop()


async def test_what_was_begun_is_not_refused_in_the_middle(
    infini: EncoderNode, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    monkeypatch.setattr(infini._engine, "_admit", lambda costs: asked.append(len(costs)))
    await infini.embed([*SENTENCES[:2], *[LONG] * 6], truncate=False)
    assert asked == [2, 1, 1, 1, 1], "the sentences, and the documents that begin with them"
    asked.clear()
    await infini.read(ReadCommand((LONG, "b", "c")))
    assert asked == [1]


async def test_any_grouping_gives_the_same_vectors(infini: EncoderNode, config: ServiceConfig):
    chunks = [*SENTENCES[:9], "", LONG, "the end"]
    groupings = [[chunks], [[chunk] for chunk in chunks], [chunks[:5], chunks[5:6], chunks[6:]]]
    runs = [await read(infini, await open_session(config, infini), groups) for groups in groupings]
    for other in runs[1:]:
        np.testing.assert_allclose(other, runs[0], atol=1e-5)
    alone = (await infini.embed(chunks[:1], truncate=False)).vectors[0]
    np.testing.assert_allclose(runs[0][0], alone, atol=1e-6)
    context = (await infini.embed(["the end"], truncate=False)).vectors[0]
    assert np.abs(runs[0][-1] - context).max() > 1e-3


async def test_sharing_steps_with_others_changes_nothing(
    infini: EncoderNode, config: ServiceConfig
):
    groups = [[sentence] for sentence in SENTENCES[:6]]
    expected = await read(infini, await open_session(config, infini), groups)
    crowd = [infini.embed(SENTENCES, truncate=False) for _ in range(3)]
    sessions = [await open_session(config, infini) for _ in range(3)]
    busy, *_ = await asyncio.gather(
        asyncio.gather(*(read(infini, session, groups) for session in sessions)), *crowd
    )
    for vectors in busy:
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


async def test_a_session_goes_on_after_a_restart(infini: EncoderNode, config: ServiceConfig):
    session = await open_session(config, infini)
    await read(infini, session, [SENTENCES[:3]])
    again = await EncoderNode.start(ModelConfig(id="infini", attention="infini"), config)
    result = await again.append(AppendCommand("public", session, tuple(SENTENCES[3:5]), 3))
    await again.stop()
    whole = await read(infini, await open_session(config, infini), [SENTENCES[:5]])
    np.testing.assert_allclose([a.embedding for a in result.answers], whole[3:], atol=1e-5)


async def test_a_model_without_memory_reads_no_session(config: ServiceConfig):
    node = await EncoderNode.start(ModelConfig(id="m", attention="multi-head"), config)
    with pytest.raises(Unprocessable) as refused:
        await node.append(AppendCommand("public", "any", ("text",), 0))
    await node.stop()
    assert refused.value.code == "model_has_no_memory"


async def test_text_that_is_not_unicode_is_a_bad_request(node: EncoderNode):
    with pytest.raises(BadRequest):
        await node.embed(["\ud800"], truncate=False)


async def test_weights_that_do_not_load_say_which_model(tmp_path: Path):
    model = ModelConfig(id="broken", attention="infini", weights=str(tmp_path))
    with pytest.raises(
        ModelLoadError, match=r"model broken: checkpoint .* has no sentence_bert_config.json"
    ):
        await EncoderNode.start(model, ServiceConfig(data_dir=tmp_path))


async def test_a_variant_that_does_not_run_is_a_model_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def breaks(*_: object) -> None:
        raise RuntimeError("shapes do not fit")

    model, config = ModelConfig(id="m", attention="multi-head"), ServiceConfig(data_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "inspect", breaks)
        with pytest.raises(ModelLoadError, match="model m: RuntimeError: shapes do not fit"):
            await EncoderNode.start(model, config)
    monkeypatch.setattr(Encoder, "forward", breaks)
    with pytest.raises(ModelLoadError, match=r"model m: The forward pass failed\."):
        await EncoderNode.start(model, config)
    assert not [one for one in threading.enumerate() if one.name.startswith("engine")]


async def test_a_store_that_cannot_be_opened_is_no_fault_of_the_model(tmp_path: Path):
    (tmp_path / SQLITE_FILE).write_bytes(b"something else" * 100)
    model = ModelConfig(id="m", attention="multi-head")
    with pytest.raises(ConfigError, match="not a session database") as refused:
        await EncoderNode.start(model, ServiceConfig(data_dir=tmp_path))
    assert not isinstance(refused.value, ModelLoadError)


async def test_it_checks_itself_and_counts(infini: EncoderNode, config: ServiceConfig):
    await infini.check()
    await read(infini, await open_session(config, infini), [SENTENCES[:2]])
    samples = {
        (sample.name, sample.labels.get("kind") or sample.labels.get("event")): sample.value
        for family in text_string_to_metric_families(infini.exposition().decode())
        for sample in family.samples
    }
    assert samples["longstream_tokens_total", "session"] > 10
    assert samples["longstream_session_events_total", "append"] == 2
    assert samples["longstream_session_state_bytes", None] > 152_064
    assert samples["longstream_model_load_seconds", None] > 0
    assert samples["longstream_process_resident_memory_bytes", None] > 1e8


async def test_a_window_longer_than_a_step_still_starts(tmp_path: Path):
    weights = tmp_path / "wide"
    shutil.copytree(locate(ModelConfig(id="m", attention="infini").weights).directory, weights)
    (weights / "sentence_bert_config.json").write_text('{"max_seq_length": 512}', "utf-8")
    model = ModelConfig(id="wide", attention="multi-head", weights=str(weights))
    config = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256))
    node = await EncoderNode.start(model, config)
    assert (await node.info()).max_chunk_tokens == 512
    assert len((await node.embed([LONG], truncate=True)).vectors) == 1
    await node.stop()
