"""Sessions whose state the client keeps, over HTTP."""

import pytest

from service.config import LimitsConfig
from service.ports import ModelInfo
from tests.service.api.kit import Api, assert_problem
from tests.service.api.reading_kit import CHUNKS, ReadingApi, append, begin
from tests.service.sessions.fakes import INFO

PATH = "/v1/sessions/stateless"


@pytest.fixture
def api() -> ReadingApi:
    return ReadingApi()


async def token_of(client) -> str:
    answer = await client.post("/v1/sessions", json={"model": INFO.id, "stateless": True})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["object"], body["model"]) == ("stateless_session", INFO.id)
    assert (body["next_seq"], body["tokens"]) == (0, 0)
    return str(body["state_token"])


async def test_a_chain_of_tokens_is_a_session_bit_for_bit(client, api):
    token, answers = await token_of(client), []
    for chunk in CHUNKS:
        answer = await client.post(PATH, json={"state_token": token, "chunks": [chunk]})
        assert answer.status_code == 200, answer.text
        token = answer.json()["state_token"]
        answers += answer.json()["chunks"]
    assert api.store._sessions == {}
    await begin(client)
    stored = await append(client, "s", *CHUNKS)
    assert answers == stored
    last = answer.json()
    assert (last["next_seq"], last["tokens"]) == (4, 10)
    assert last["expires_at"] > api.clock()


async def test_a_token_may_be_gone_on_from_twice(client):
    token = await token_of(client)
    body = {"state_token": token, "chunks": CHUNKS, "return": ["embedding", "document"]}
    first, again = [(await client.post(PATH, json=body)).json() for _ in range(2)]
    assert first["chunks"] == again["chunks"]
    assert first["document"] == again["document"]
    assert (first["document"]["tokens"], first["document"]["next_seq"]) == (10, 4)
    assert "tokens" not in first["chunks"][0]


async def test_another_gateway_with_the_same_secret_goes_on(client):
    token = await token_of(client)
    async with ReadingApi().client() as other:
        answer = await other.post(PATH, json={"state_token": token, "chunks": CHUNKS})
        assert answer.status_code == 200
    async with ReadingApi(secret=b"t" * 32).client() as other:
        answer = await other.post(PATH, json={"state_token": token, "chunks": CHUNKS})
        assert_problem(answer, 422, "invalid_state_token")


async def test_tokens_that_are_not_good(client, api):
    token = await token_of(client)
    for bad in ("", "x", token[:-4], token[:-1] + ("A" if token[-1] != "A" else "B")):
        answer = await client.post(PATH, json={"state_token": bad, "chunks": ["x"]})
        problem = assert_problem(answer, 422, "invalid_state_token")
        assert problem["error"]["param"] == "state_token"
        assert token[10:40] not in answer.text
    now = api.clock()
    api.services.tokens._clock = lambda: now + 61
    answer = await client.post(PATH, json={"state_token": token, "chunks": ["x"]})
    assert "expired" in assert_problem(answer, 422, "invalid_state_token")["detail"]


async def test_a_model_that_was_exchanged(client):
    token = await token_of(client)
    changed = ModelInfo(**{n: getattr(INFO, n) for n in INFO.__slots__} | {"fingerprint": "e" * 64})
    async with ReadingApi(info=changed).client() as other:
        answer = await other.post(PATH, json={"state_token": token, "chunks": ["x"]})
        problem = assert_problem(answer, 409, "model_changed")
    assert problem["stored_fingerprint"] == INFO.fingerprint
    without = Api()
    without.services.tokens._secret = b"s" * 32
    async with without.client() as other:
        answer = await other.post(PATH, json={"state_token": token, "chunks": ["x"]})
        assert_problem(answer, 404, "model_not_found")


async def test_bodies_that_say_something_else(client):
    token = await token_of(client)
    for body in (
        {"state_token": token},
        {"state_token": token, "chunks": []},
        {"state_token": token, "chunks": ["x"], "first_seq": 0},
        {"chunks": ["x"]},
        {"state_token": 1, "chunks": ["x"]},
    ):
        assert_problem(await client.post(PATH, json=body), 422, "validation_error")
    for more in ({"id": "s"}, {"metadata": {"a": 1}}, {"index": True}):
        body = {"model": INFO.id, "stateless": True, **more}
        answer = await client.post("/v1/sessions", json=body)
        assert "nothing is stored" in assert_problem(answer, 422, "validation_error")["detail"]
    answer = await client.get(PATH)
    assert_problem(answer, 404, "session_not_found")


async def test_as_many_chunks_as_an_append():
    async with ReadingApi(limits=LimitsConfig(chunks=2)).client() as client:
        body = {"state_token": await token_of(client), "chunks": CHUNKS}
        assert_problem(await client.post(PATH, json=body), 422, "validation_error")


async def test_a_model_without_memory_has_no_state():
    async with Api().client() as client:
        answer = await client.post("/v1/sessions", json={"model": "multi-head", "stateless": True})
        assert_problem(answer, 422, "model_has_no_memory")
