"""What a session's memory holds, over HTTP."""

import pytest

from tests.service.api.kit import assert_problem


@pytest.mark.usefixtures("session")
async def test_a_memory_is_described(client):
    answer = await client.get("/v1/sessions/s1/memory")
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == '"fake.3"'
    assert answer.headers["cache-control"] == "no-store"
    assert "persist" in answer.headers["server-timing"]
    body = answer.json()
    assert (body["object"], body["session_id"], body["model"]) == ("memory", "s1", "infini")
    assert (body["next_seq"], body["tokens_seen"], body["memory_bytes"]) == (3, 12, 4096)
    assert body["layers"] == [1, 4]
    assert [len(layer) for layer in body["gates"]] == [3, 3]
    matrix, normaliser, gram = body["parts"]
    assert matrix["name"] == "matrix"
    assert matrix["axes"] == ["layer", "head"]
    assert matrix["norm"] == [[0, 1, 2], [3, 4, 5]]
    assert matrix["effective_rank"] == [[1, 2, 3], [4, 5, 6]]
    assert normaliser["effective_rank"] is normaliser["saturation"] is None
    assert (gram["axes"], gram["norm"], gram["effective_rank"]) == ([], 1.5, 3.0)
    assert body["reader"] is None
    assert body["recall"] == {"numbers": 2.5}


async def test_memories_that_are_not_there(client):
    answer = await client.get("/v1/sessions/none/memory")
    assert_problem(answer, 404, "session_not_found")
    answer = await client.get("/v1/sessions/a%20b/memory")
    assert_problem(answer, 404, "session_not_found")
