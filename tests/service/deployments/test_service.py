"""The running service: what only the real thing, with Ray and models, can show."""

import concurrent.futures
import signal
import uuid
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.config import DEFAULT_MODELS
from tests.running import RunningService, eventually

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

CHUNKS = [
    f"Chapter {number}. It was the best of times, it was the worst of times, it was the age of "
    f"wisdom, it was the age of foolishness, and the year was {1700 + number}." * 6
    for number in range(24)
]


def new_session(http: httpx.Client) -> str:
    session = f"s-{uuid.uuid4().hex}"
    response = http.post("/v1/sessions", json={"model": "infini", "id": session})
    assert response.status_code == 201, response.text
    return session


def append(http: httpx.Client, session: str, chunks: list[str], first_seq: int) -> dict[str, Any]:
    response = http.post(
        f"/v1/sessions/{session}/chunks", json={"first_seq": first_seq, "chunks": chunks}
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def vectors(answer: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([chunk["embedding"] for chunk in answer["chunks"]], dtype=np.float32)


def test_it_is_ready_and_lists_its_models(http: httpx.Client) -> None:
    assert http.get("/health/live").status_code == 200
    assert http.get("/health/ready").status_code == 200
    models = http.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == list(DEFAULT_MODELS)


@pytest.mark.parametrize("model", ["multi-head", "infini"])
def test_embeddings_of_unit_length(http: httpx.Client, model: str) -> None:
    body = {"model": model, "input": ["a cat", "a kitten", "quarterly tax report"]}
    response = http.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    rows = np.array([item["embedding"] for item in response.json()["data"]])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]


def test_errors_cross_the_processes_as_themselves(http: httpx.Client) -> None:
    missing = http.post("/v1/sessions/nowhere/chunks", json={"first_seq": 0, "chunks": ["a"]})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "session_not_found")
    session = new_session(http)
    append(http, session, ["one"], 0)
    conflict = http.post(
        f"/v1/sessions/{session}/chunks", json={"first_seq": 0, "chunks": ["another"]}
    )
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "sequence_conflict")


def test_an_append_that_is_repeated_is_replayed(http: httpx.Client) -> None:
    session = new_session(http)
    first = append(http, session, ["Call me Ishmael.", "Some years ago."], 0)
    again = append(http, session, ["Call me Ishmael.", "Some years ago."], 0)
    assert first["next_seq"] == again["next_seq"] == 2
    assert not any(chunk["replayed"] for chunk in first["chunks"])
    assert all(chunk["replayed"] for chunk in again["chunks"])
    assert np.array_equal(vectors(first), vectors(again))


def test_sixteen_clients_at_once(service: RunningService) -> None:
    def one(number: int) -> int:
        with service.client() as http:
            body = {"model": "infini", "input": [f"text {number}"]}
            return http.post("/v1/embeddings", json=body).status_code

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(16))) == {200}


def test_metrics_have_every_replica(http: httpx.Client) -> None:
    http.post("/v1/embeddings", json={"model": "multi-head", "input": "one more"})
    response = http.get("/metrics")
    assert response.status_code == 200
    resident = {
        sample.labels["replica"]: sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.name == "longstream_process_resident_memory_bytes"
    }
    assert sorted(name.rpartition("-")[0] for name in resident) == [
        *sorted(f"encoder-{model}" for model in DEFAULT_MODELS),
        "gateway",
    ]
    assert all(value > 50 * 1024**2 for value in resident.values())


def test_a_replica_killed_in_the_middle_of_an_append_loses_nothing(
    service: RunningService, http: httpx.Client
) -> None:
    undisturbed = append(http, new_session(http), CHUNKS, 0)
    session = new_session(http)
    with concurrent.futures.ThreadPoolExecutor(1) as pool, service.client() as other:
        appending = pool.submit(append, other, session, CHUNKS, 0)
        eventually(lambda: http.get(f"/v1/sessions/{session}").json()["next_seq"] >= 3, 30)
        (replica,) = service.replicas("encoder-infini")
        assert not appending.done()
        replica.send_signal(signal.SIGKILL)
        disturbed = appending.result(timeout=90)
    assert disturbed["next_seq"] == len(CHUNKS)
    assert [chunk["seq"] for chunk in disturbed["chunks"]] == list(range(len(CHUNKS)))
    assert any(chunk["replayed"] for chunk in disturbed["chunks"])
    assert not all(chunk["replayed"] for chunk in disturbed["chunks"])
    assert np.abs(vectors(disturbed) - vectors(undisturbed)).max() <= 1e-5
    eventually(lambda: http.get("/health/ready").status_code == 200, 30)


def test_a_gateway_killed_is_replaced(service: RunningService, http: httpx.Client) -> None:
    (replica,) = service.replicas("gateway")
    replica.send_signal(signal.SIGKILL)
    replica.wait(timeout=10)

    def answers() -> bool:
        try:
            return http.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    eventually(answers, 60)
    assert service.process.poll() is None
