"""Every attention variant, served at once on the real service; and one that cannot be loaded."""

from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import torch
from openai import OpenAI

from models.checkpoints import packaged
from models.config import DEFAULT_WEIGHTS
from models.loading import load_encoder
from models.variants import variants
from service.client import LongstreamClient
from service.config import DEFAULT_MODELS
from tests.running import RunningService, eventually
from tests.texts import SENTENCES

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


def expected(variant: str) -> torch.Tensor:
    loaded = load_encoder(variant, DEFAULT_WEIGHTS)
    segments = [cut[0] for cut in loaded.tokenizer.segments(SENTENCES)]
    memories = [loaded.encoder.empty_memory() for _ in segments]
    with torch.inference_mode():
        sums = loaded.encoder(segments, memories if loaded.encoder.has_memory else None).sums
    return torch.nn.functional.normalize(sums, dim=-1)


@pytest.mark.parametrize("variant", DEFAULT_MODELS)
def test_the_openai_sdk_gets_each_variant_under_its_id(service: RunningService, variant: str):
    sdk = OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0)
    assert sdk.models.retrieve(variant).id == variant
    answer = sdk.embeddings.create(model=variant, input=SENTENCES)
    got = np.array([item.embedding for item in answer.data])
    np.testing.assert_allclose(got, expected(variant).numpy(), atol=1e-5)


def test_no_two_variants_with_an_adapter_give_the_same_vector(service: RunningService):
    sdk = OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0)
    models = {model.id: model for model in sdk.models.list()}
    assert set(models) == set(DEFAULT_MODELS)
    assert len({model.fingerprint for model in models.values()}) == len(models)  # type: ignore[attr-defined]
    vectors = {
        name: tuple(sdk.embeddings.create(model=name, input=SENTENCES[0]).data[0].embedding)
        for name in models
    }
    # An empty memory changes nothing; every other variant computes something of its own.
    remembering = [
        name
        for name, variant in variants().items()
        if name in models and (variant.attention_has_memory or variant.reader)
    ]
    for name in remembering:
        assert vectors[name] == pytest.approx(vectors["multi-head"], abs=1e-5)
    others = {tuple(np.round(v, 4)) for name, v in vectors.items() if name not in remembering}
    assert len(others) == len(models) - len(remembering)


def test_a_session_knows_a_number_long_after_it_was_told_and_a_fresh_one_does_not(
    service: RunningService,
):
    told = "The pass key of Nora Quist is 73622. Remember it: 73622 is the pass key of Nora Quist."
    asked = ["What is the pass key of Nora Quist?", "What is the pass key of Boris Lang?"]
    with LongstreamClient(service.url) as client:
        session, fresh = (client.create_session("infini-plus").id for _ in range(2))
        seq = client.append(session, [told], 0).next_seq
        size = client.session(session).state_bytes
        for _ in range(10):
            seq = client.append(session, [" ".join(SENTENCES)] * 8, seq).next_seq
        client.append(fresh, SENTENCES[:2], 0)
        answers = [one.recall for one in client.query(session, asked).questions]
        nothing = [one.recall for one in client.query(fresh, asked).questions]
        assert client.session(session).state_bytes == size
    assert [answer and answer.answer for answer in answers] == ["73622", None]
    assert [answer and answer.found for answer in nothing] == [False, False]


def test_models_show_the_figures_of_their_cards(http: httpx.Client):
    for model in http.get("/v1/models").json()["data"]:
        assert 0.5 < model["evaluation"]["stsb_dev_spearman"] < 1, model["id"]
        adapter = packaged(model["id"], "safetensors")
        assert adapter is not None or model["id"] in {"multi-head", "infini"}
        assert model["checkpoint"] == (adapter.name if adapter else None)


def test_a_model_that_cannot_be_loaded_leaves_the_others_up(tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "models:\n- {id: infini, attention: infini}\n"
        f"- {{id: broken, attention: causal, adapter: {tmp_path / 'nothing.safetensors'}}}\n"
    )
    running = RunningService.start(tmp_path, "--config", str(config))
    try:
        with running.client() as http:
            ready = http.get("/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert ready.json()["models"] == [
                {"id": "infini", "ready": True, "error": None},
                {"id": "broken", "ready": False, "error": "model_failed"},
            ]
            assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["infini"]
        sdk = OpenAI(base_url=f"{running.url}/v1", api_key="unused", max_retries=0)
        assert len(sdk.embeddings.create(model="infini", input="still here").data[0].embedding)
        with pytest.raises(openai.InternalServerError, match=r"nothing\.safetensors") as caught:
            sdk.embeddings.create(model="broken", input="gone")
        assert (caught.value.status_code, caught.value.code) == (503, "model_failed")
        said = "longstream: model broken: there is no adapter"
        eventually(lambda: said in running.said(), 30)  # by another process than what says ready
    finally:
        assert running.stop() == 0
