"""What the service shows, computed again from the checkpoint's tensors with numpy and nothing of ours."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.config import DEFAULT_WEIGHTS
from models.weights import locate
from service.api.app import Services, create_app
from service.config import LimitsConfig
from service.encoder_node import EncoderNode
from service.metrics import GatewayMetrics
from service.sessions.copies import SessionCopies
from service.sessions.state_tokens import StateTokens
from service.sessions.stores import MemoryStore
from tests.service.api.fake import FakeEncoder
from tests.service.api.kit import INFINI, FakeCatalog
from tests.service.encoder_node.conftest import StartNode

WORDS = ["the", "bank", "of", "the", "river"]
CONTEXT = ["money", "was", "kept", "in", "this", "bank"]
HEADS, WIDTH = 12, 32

Array = NDArray[np.float64]


class Checkpoint:
    """The published tensors, read from the file, and BERT's layer 0 as its paper writes it."""

    def __init__(self) -> None:
        folder = locate(DEFAULT_WEIGHTS).directory
        tensors = load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        lines = (folder / "vocab.txt").read_text("utf-8").splitlines()
        self.vocabulary = {word: i for i, word in enumerate(lines)}

    def ids(self, words: list[str]) -> list[int]:
        return [self.vocabulary[word] for word in ("[CLS]", *words, "[SEP]")]

    def embed(self, words: list[str]) -> Array:
        """Word, position and token type 0, summed and normalised."""
        ids = self.ids(words)
        x = self.tensors["embeddings.word_embeddings.weight"][ids]
        x = x + self.tensors["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + self.tensors["embeddings.token_type_embeddings.weight"][0]
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        scale, shift = (self.tensors[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias"))
        return (x - mean) / np.sqrt(variance + 1e-12) * scale + shift  # type: ignore[no-any-return]

    def project(self, x: Array, name: str) -> Array:
        """W x + b of layer 0, split into heads: (heads, tokens, width)."""
        weight = self.tensors[f"encoder.layer.0.attention.self.{name}.weight"]
        bias = self.tensors[f"encoder.layer.0.attention.self.{name}.bias"]
        return (x @ weight.T + bias).reshape(len(x), HEADS, WIDTH).transpose(1, 0, 2)


@asynccontextmanager
async def api_over(node: EncoderNode) -> AsyncIterator[httpx.AsyncClient]:
    """The whole HTTP API over one real encoder in this process."""

    async def nothing() -> bytes:
        return b""

    services = Services(
        encoders={"m": node},
        catalog=FakeCatalog(FakeEncoder(INFINI)),
        copies=SessionCopies(MemoryStore(), 1 << 20),
        tokens=StateTokens(b"s" * 32, 60, time.time),
        limits=LimitsConfig(),
        metrics=GatewayMetrics(),
        scrape=nothing,
        draining=lambda: False,
    )
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json={"model": "m", **body})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def test_layer_0_of_multi_head_is_the_equation(start_node: StartNode):
    async with start_node("multi-head") as node, api_over(node) as client:
        stages = ["scores", "weights", "outputs"]
        body = {"input": " ".join(WORDS), "layers": [0], "return": stages}
        answer = await post(client, "/v1/attention", **body)
    checkpoint = Checkpoint()
    assert [token["id"] for token in answer["tokens"]] == checkpoint.ids(WORDS)
    x = checkpoint.embed(WORDS)
    query, key, value = (checkpoint.project(x, name) for name in ("query", "key", "value"))
    [layer] = answer["layers"]
    assert len(layer["heads"]) == HEADS
    for h, head in enumerate(layer["heads"]):
        scores = np.empty((7, 7))
        for i in range(7):
            for j in range(7):
                scores[i, j] = sum(query[h, i] * key[h, j]) / np.sqrt(32)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        outputs = np.stack([sum(weights[i, j] * value[h, j] for j in range(7)) for i in range(7)])
        [shown] = head["directions"]
        np.testing.assert_allclose(shown["scores"], scores, atol=2e-5)
        np.testing.assert_allclose(shown["weights"], weights, atol=1e-5)
        np.testing.assert_allclose(shown["outputs"], outputs, atol=1e-5)
        np.testing.assert_allclose(head["outputs"], outputs, atol=1e-5)


def features(x: Array) -> Array:
    """ELU + 1: what the memory stores instead of keys, always positive."""
    return np.where(x > 0, x + 1, np.exp(x))


async def test_the_share_from_memory_is_the_equation(start_node: StartNode):
    async with start_node("infini") as node, api_over(node) as client:
        body = {"input": " ".join(WORDS), "context": " ".join(CONTEXT), "layers": [0]}
        answer = await post(client, "/v1/attention", **body, **{"return": ["weights", "outputs"]})
    checkpoint = Checkpoint()
    before, x = checkpoint.embed(CONTEXT), checkpoint.embed(WORDS)
    # Equation 8, CLS and SEP left out: M = sum of sigma(k)^T v, z = sum of sigma(k).
    keys = features(checkpoint.project(before, "key"))[:, 1:-1]
    memory = keys.transpose(0, 2, 1) @ checkpoint.project(before, "value")[:, 1:-1]
    normaliser = keys.sum(1)
    gate = 1 / (1 + np.exp(2.0))  # untrained: beta is -2 for every head
    query, value = checkpoint.project(x, "query"), checkpoint.project(x, "value")
    for h, head in enumerate(answer["layers"][0]["heads"]):
        read = features(query[h])
        remembered = read @ memory[h] / (read @ normaliser[h])[:, None]
        local = np.array(head["directions"][0]["weights"]) @ value[h]
        output = gate * remembered + (1 - gate) * local
        recalled = np.linalg.norm(gate * remembered, axis=1)
        own = np.linalg.norm((1 - gate) * local, axis=1)
        np.testing.assert_allclose(head["outputs"], output, atol=1e-5)
        np.testing.assert_allclose(head["memory_share"], recalled / (recalled + own), atol=1e-4)
        assert 0 < min(head["memory_share"]) < max(head["memory_share"]) < 1


async def test_encode_and_tokenize_say_the_same_and_tokens_make_the_vector(start_node: StartNode):
    text = "Crème brûlée 👍🏽"
    async with start_node("infini") as node, api_over(node) as client:
        found = await post(client, "/v1/tokenize", input=text)
        body = {"input": text, "return": ["embedding", "tokens"]}
        plain = await post(client, "/v1/encode", **body)
        full = await post(client, "/v1/encode", **body, special_tokens=True)
        [pooled] = (await post(client, "/v1/embeddings", input=text))["data"]
    assert found["max_chunk_tokens"] == 256
    [tokens], [listed], [all_of_them] = found["data"], plain["data"], full["data"]
    assert [token["id"] for token in listed["tokens"]] == tokens["ids"]
    assert [[t["start"], t["end"]] for t in listed["tokens"]] == tokens["offsets"]
    assert [t["token"] for t in all_of_them["tokens"]] == ["[CLS]", *tokens["tokens"], "[SEP]"]
    assert "".join(text[a:b] for a, b in tokens["offsets"]) == text.replace(" ", "")
    mean = np.mean([token["embedding"] for token in all_of_them["tokens"]], axis=0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), pooled["embedding"], atol=1e-5)
    np.testing.assert_allclose(listed["embedding"], pooled["embedding"], atol=1e-6)


async def test_scores_that_a_causal_model_hides_are_null(start_node: StartNode):
    async with start_node("causal") as node, api_over(node) as client:
        body = {"input": "one two", "layers": [5], "heads": [3], "return": ["scores", "weights"]}
        [layer] = (await post(client, "/v1/attention", **body))["layers"]
    [direction] = layer["heads"][0]["directions"]
    assert direction["direction"] == "forward"
    for i, (scores, weights) in enumerate(
        zip(direction["scores"], direction["weights"], strict=True)
    ):
        assert [score is None for score in scores] == [j > i for j in range(4)]
        assert weights[i + 1 :] == [0] * (3 - i)
