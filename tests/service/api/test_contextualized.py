"""Chunks of documents in one call."""

import base64
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.api.auto_chunking import cut_at_tokens
from service.api.routes import contextualized
from service.config import LimitsConfig
from service.errors import Unavailable
from service.ports import ReadCommand, ReadResult
from tests.service.api.fake_tokens import fake_tokens
from tests.service.api.kit import INFINI, Api, assert_problem
from tests.service.api.reading_kit import CHUNKS, ReadingApi, append, begin, vectors
from tests.texts import SENTENCES

PATH = "/v1/contextualizedembeddings"
DOCUMENTS = [CHUNKS, ["alone"], [*CHUNKS[:2], ""]]


async def post(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"model": "infini", "inputs": DOCUMENTS} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def floats(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f4")


async def test_documents_that_begin_after_others_have_ended_are_not_refused(
    api, client, monkeypatch
):
    read, asked = api.infini.read, []

    async def noting(command: ReadCommand) -> ReadResult:
        asked.append(command.admitted)
        result: ReadResult = await read(command)
        return result

    monkeypatch.setattr(api.infini, "read", noting)
    await post(client, inputs=[[str(i)] for i in range(7)])
    assert asked == [False] * 4 + [True] * 3


async def test_each_chunk_is_what_a_session_would_have_given():
    api = ReadingApi()
    async with api.client() as client:
        body = await post(client, model="fake")
        assert await api.store.list("public", None, 1) == []
        for index, chunks in enumerate(DOCUMENTS):
            await begin(client, f"s{index}")
            stored = await append(client, f"s{index}", *chunks)
            document = body["data"][index]
            assert (document["object"], document["index"]) == ("list", index)
            assert [row["index"] for row in document["data"]] == list(range(len(chunks)))
            assert [row["embedding"] for row in document["data"]] == vectors(stored)
            assert all(set(row) == {"object", "index", "embedding"} for row in document["data"])
    assert (body["object"], body["model"]) == ("list", "fake")
    assert body["usage"] == {"prompt_tokens": 15, "total_tokens": 15}


async def test_voyages_encodings(client):
    plain = (await post(client))["data"][0]["data"][0]["embedding"]
    packed = (await post(client, encoding_format="base64"))["data"][0]["data"][0]["embedding"]
    np.testing.assert_array_equal(floats(packed), np.float32(plain))
    kinds = {}
    for kind in ("int8", "binary", "ubinary"):
        answers = [
            await post(client, output_dtype=kind, encoding_format=form) for form in (None, "base64")
        ]
        one, two = (answer["data"][0]["data"][0]["embedding"] for answer in answers)
        dtype = np.uint8 if kind == "ubinary" else np.int8
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(two), dtype), one)
        kinds[kind] = np.array(one)
    scaled = np.array(plain) / np.abs(plain).max() * 127
    np.testing.assert_allclose(kinds["int8"], scaled, atol=0.5001)
    np.testing.assert_array_equal(
        np.unpackbits(np.uint8(kinds["ubinary"]))[:8], np.array(plain) > 0
    )
    np.testing.assert_array_equal(kinds["binary"], kinds["ubinary"].astype(int) - 128)


async def test_what_an_sdk_leaves_open_is_null(client):
    nulls = dict.fromkeys(
        ("input_type", "output_dtype", "output_dimension", "encoding_format", "chunk_size")
    )
    assert (await post(client, **nulls)) == await post(client)


async def test_perplexitys_shape(client):
    plain = np.array((await post(client))["data"][0]["data"][1]["embedding"])
    body: dict[str, Any] = {"model": "infini", "input": DOCUMENTS, "dimensions": 8}
    row = (await client.post(PATH, json=body)).json()["data"][0]["data"][1]
    found = np.frombuffer(base64.b64decode(row["embedding"]), np.int8).astype(float)
    cosine = found @ plain / np.linalg.norm(found) / np.linalg.norm(plain)
    assert cosine > 0.9999
    body["encoding_format"] = "base64_binary"
    row = (await client.post(PATH, json=body)).json()["data"][0]["data"][1]
    bits = np.frombuffer(base64.b64decode(row["embedding"]), np.uint8)
    np.testing.assert_array_equal(np.unpackbits(bits, bitorder="little"), plain > 0)


async def test_a_document_can_be_cut_here(client, api):
    text = " ".join(SENTENCES[:40])
    body = await post(client, inputs=[[text]], enable_auto_chunking=True, chunk_size=50)
    [document] = body["data"]
    texts = [row["text"] for row in document["data"]]
    assert "".join(texts) == text
    assert all(len(one.split()) <= 50 for one in texts)
    assert len(texts) < 2.5 * len(text.split()) / 50
    whole = await post(client, inputs=[texts])
    assert [row["embedding"] for row in whole["data"][0]["data"]] == [
        row["embedding"] for row in document["data"]
    ]
    [short] = (await post(client, inputs=[["a few words"]], enable_auto_chunking=True))["data"]
    assert [row["text"] for row in short["data"]] == ["a few words"]


@pytest.mark.parametrize("most", [1, 2, 7, 100])
@pytest.mark.parametrize(
    "text", ["", "word", "   ", "a b  c. d e. f", "x" * 50 + " y", " ".join(SENTENCES[:9])]
)
def test_cuts_lose_nothing_and_hold_their_bound(text, most):
    offsets = [place for place in fake_tokens(text).offsets if place]
    chunks = list(cut_at_tokens(text, offsets, most))
    assert "".join(chunks) == text
    assert all(len(chunk.split()) <= most for chunk in chunks)


def test_a_cut_goes_to_the_end_of_a_sentence():
    text = "one two three. four five. six seven eight nine"
    offsets = [place for place in fake_tokens(text).offsets if place]
    assert list(cut_at_tokens(text, offsets, 6)) == [
        "one two three. four five. ",
        "six seven eight nine",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [[]]},
        {"inputs": ["x"]},
        {"inputs": [["x"], "y"]},
        {"inputs": [[1]]},
        {"inputs": [["x"]], "input": [["x"]]},
        {"inputs": [["x"]], "output_dimension": 7},
        {"inputs": [["x"]], "dimensions": 9},
        {"inputs": [["x"]], "output_dtype": "uint8"},
        {"inputs": [["x"]], "encoding_format": "hex"},
        {"inputs": [["x"]], "input_type": "other"},
        {"inputs": [["x"]], "chunk_size": 5},
        {"inputs": [["x", "y"]], "enable_auto_chunking": True},
        {"inputs": [["x"]], "enable_auto_chunking": True, "chunk_size": 0},
        {"inputs": [["x"]], "enable_auto_chunking": True, "chunk_overlap": 3},
        {"inputs": [["x"]], "more": 1},
    ],
)
async def test_what_cannot_be_done_is_said(client, body):
    answer = await client.post(PATH, json={"model": "infini", **body})
    assert_problem(answer, 422, "validation_error")


async def test_models_that_cannot(client):
    body: dict[str, Any] = {"inputs": [["x"]], "model": "multi-head"}
    assert_problem(await client.post(PATH, json=body), 422, "model_has_no_memory")
    body["model"] = "none"
    assert_problem(await client.post(PATH, json=body), 404, "model_not_found")


async def test_as_many_chunks_as_texts():
    async with Api(LimitsConfig(texts=3)).client() as client:
        body: dict[str, Any] = {"model": "infini", "inputs": [["a", "b"], ["c"]]}
        assert (await client.post(PATH, json=body)).status_code == 200
        body["inputs"].append(["d"])
        assert_problem(await client.post(PATH, json=body), 422, "validation_error")


async def test_no_more_is_cut_than_is_taken(monkeypatch):
    cut: list[str] = []

    def counted(*args):
        for chunk in cut_at_tokens(*args):
            cut.append(chunk)
            yield chunk

    monkeypatch.setattr(contextualized, "cut_at_tokens", counted)
    async with Api(LimitsConfig(texts=3)).client() as client:
        body = {
            "model": "infini",
            "inputs": [["a b"], ["c d e f g h"]],
            "enable_auto_chunking": True,
            "chunk_size": 1,
        }
        refusal = assert_problem(await client.post(PATH, json=body), 422, "validation_error")
        assert refusal["max_items"] == 3
        assert cut == ["a ", "b", "c ", "d "]
        documents = [["a"]] * 4
        answer = await client.post(PATH, json=body | {"inputs": documents})
        assert_problem(answer, 422, "validation_error")
        assert len(cut) == 4


async def test_a_large_document_is_cut_beside_the_event_loop(client):
    text = "a b c d " * 600
    body = {"model": "infini", "inputs": [[text]], "enable_auto_chunking": True, "chunk_size": 300}
    ran_in: list[str] = []

    def noted(*args):
        ran_in.append(threading.current_thread().name)
        return cut_at_tokens(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contextualized, "cut_at_tokens", noted)
        assert (await client.post(PATH, json=body)).status_code == 200
    assert ran_in != [threading.main_thread().name]


async def test_one_document_that_fails_fails_the_request(client, api, monkeypatch):
    inner = api.infini.read

    async def sometimes(command):
        if command.chunks == ("alone",):
            raise Unavailable("overloaded", "full")
        return await inner(command)

    monkeypatch.setattr(api.infini, "read", sometimes)
    answer = await client.post(PATH, json={"model": "infini", "inputs": DOCUMENTS})
    assert_problem(answer, 503, "overloaded")


def test_the_width_is_a_whole_number_of_bytes():
    assert INFINI.dimensions % 8 == 0
