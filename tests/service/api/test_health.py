import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.readiness import Readiness
from service.errors import MODEL_FAILED, Unavailable
from tests.service.api.fake import FakeEncoder
from tests.service.api.kit import INFINI, STATELESS, assert_problem


async def test_liveness_asks_nobody(client, api):
    async def gate() -> None:
        raise RuntimeError

    api.gate = gate
    api.draining = True
    answer = await client.get("/health/live")
    assert answer.json() == {"status": "live"}


async def test_ready_lists_every_model(client):
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "models": [
            {"id": "multi-head", "ready": True, "error": None},
            {"id": "infini", "ready": True, "error": None},
        ],
    }


@pytest.mark.parametrize(
    ("raised", "code"),
    [(Unavailable("store_unavailable", "x"), "store_unavailable"), (KeyError(), "internal_error")],
)
async def test_one_failing_model_makes_it_503(api, client, raised, code, monkeypatch):
    async def down() -> None:
        raise raised

    monkeypatch.setattr(api.infini, "check", down)
    answer = await client.get("/health/ready")
    body = assert_problem(answer, 503, "model_unavailable")
    assert body["models"] == [
        {"id": "multi-head", "ready": True, "error": None},
        {"id": "infini", "ready": False, "error": code},
    ]
    assert answer.headers["retry-after"] == "1"


def failed(code: str):
    async def check() -> None:
        raise Unavailable(code, "no weights")

    return check


async def test_a_model_that_could_not_be_loaded_leaves_the_others_ready(api, client, monkeypatch):
    monkeypatch.setattr(api.infini, "check", failed(MODEL_FAILED))
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "models": [
            {"id": "multi-head", "ready": True, "error": None},
            {"id": "infini", "ready": False, "error": "model_failed"},
        ],
    }


@pytest.mark.parametrize("other", [MODEL_FAILED, "store_unavailable"])
async def test_none_ready_is_503_whatever_the_reasons(api, client, other, monkeypatch):
    monkeypatch.setattr(api.infini, "check", failed(MODEL_FAILED))
    monkeypatch.setattr(api.stateless, "check", failed(other))
    body = assert_problem(await client.get("/health/ready"), 503, "model_unavailable")
    assert [model["error"] for model in body["models"]] == [other, "model_failed"]


class Counting(FakeEncoder):
    checks = 0

    async def check(self) -> None:
        self.checks += 1
        await super().check()


async def test_probes_share_one_check_while_it_is_fresh():
    encoder = Counting(INFINI)
    readiness = Readiness({"infini": encoder}, fresh_seconds=0.05)
    await asyncio.gather(*(readiness.states() for _ in range(20)))
    assert encoder.checks == 1
    await asyncio.sleep(0.06)
    await readiness.states()
    assert encoder.checks == 2


async def test_a_model_that_does_not_answer_is_not_ready_and_holds_up_nobody():
    async def hang() -> None:
        await asyncio.Event().wait()

    encoders = {"infini": FakeEncoder(INFINI, hang), "multi-head": FakeEncoder(STATELESS)}
    states = await asyncio.wait_for(Readiness(encoders, check_seconds=0.05).states(), 5)
    assert [(state.id, state.error) for state in states] == [
        ("infini", "timeout"),
        ("multi-head", None),
    ]


async def test_draining_refuses_work_and_readiness_but_not_reads(client, api):
    await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
    api.draining = True
    refused = [
        await client.get("/health/ready"),
        await client.post("/v1/embeddings", json={"model": "infini", "input": "x"}),
        await client.post("/v1/sessions", json={"model": "infini"}),
        await client.post("/v1/sessions/s1/chunks", json={"chunks": ["x"]}),
        await client.post(
            "/v1/sessions/s1/stream", content=b"x", headers={"content-type": "text/plain"}
        ),
    ]
    for answer in refused:
        assert_problem(answer, 503, "draining")
        assert answer.headers["retry-after"] == "1"
    assert (await client.get("/v1/sessions/s1")).status_code == 200
    assert (await client.get("/v1/models")).status_code == 200
    assert b'rejected_total{reason="draining"} 4.0' in api.metrics.exposition()


async def test_metrics_are_prometheus_text(client):
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "longstream_http_requests" in names


async def test_the_dashboard_is_one_page_that_asks_nobody_else(client):
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "://" not in answer.text
    assert 'fetch("metrics"' in answer.text
