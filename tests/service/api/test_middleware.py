import asyncio
import re

import pytest
import structlog

from service.api.problems import PROBLEMS
from service.metrics.catalogue import REJECT_REASONS
from tests.service.api.kit import assert_problem


def _timing(value: str) -> dict[str, float]:
    found = re.findall(r"(\w+);dur=([\d.]+)", value)
    return {name: float(milliseconds) for name, milliseconds in found}


async def test_server_timing_has_the_stages_in_milliseconds(client):
    answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    times = _timing(answer.headers["server-timing"])
    assert list(times) == ["tokenize", "queue", "infer", "persist", "total"]
    assert times["persist"] == 4.0
    assert times["total"] > 0


async def test_every_response_has_a_total_and_an_id(client):
    for path in ("/health/live", "/nowhere", "/v1/sessions/none"):
        answer = await client.get(path)
        assert "total" in _timing(answer.headers["server-timing"])
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("good", ["abcd-1234", "A" * 64])
async def test_a_well_formed_request_id_is_kept(client, good):
    answer = await client.get("/nowhere", headers={"X-Request-Id": good})
    assert answer.headers["x-request-id"] == good
    assert answer.json()["request_id"] == good


@pytest.mark.parametrize("bad", ["short", "A" * 65, "a b c d e f", "abcdefgh\x7f", "<script>alert"])
async def test_any_other_is_replaced(client, bad):
    answer = await client.get("/nowhere", headers=[(b"x-request-id", bad.encode())])
    assert answer.headers["x-request-id"] != bad


async def test_a_bug_is_an_opaque_500_with_its_trace_in_the_log(client, api):
    async def gate() -> None:
        raise RuntimeError("the password is hunter2")

    api.gate = gate
    with structlog.testing.capture_logs() as logs:
        answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    body = assert_problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text
    assert body["request_id"] in body["detail"]
    trace = next(entry for entry in logs if entry["event"] == "unhandled_error")
    assert trace["exc_info"]
    assert trace["request_id"] == body["request_id"]


async def test_one_log_line_per_request_without_ids_or_texts(client):
    await client.post("/v1/sessions", json={"model": "infini", "id": "private-name"})
    with structlog.testing.capture_logs() as logs:
        await client.post("/v1/sessions/private-name/chunks", json={"chunks": ["private text"]})
        await client.get("/v1/sessions/private-nam?after=private")
    assert "private" not in str(logs)
    assert [entry["event"] for entry in logs] == ["http_request", "http_request"]
    first, second = logs
    assert first["route"] == "/v1/sessions/{session_id}/chunks"
    assert first["code"] == 200
    assert first["method"] == "POST"
    assert first["duration_ms"] > 0
    assert second["code"] == 404
    assert second["error"] == "session_not_found"


@pytest.mark.parametrize("reason", REJECT_REASONS)
async def test_every_reason_for_a_refusal_is_counted(client, api, reason):
    async def gate() -> None:
        raise PROBLEMS[reason].error(reason, "not now")

    api.gate = gate
    await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    # A probe is told the same and is no refused work.
    await client.get("/health/ready")
    counted = [
        line for line in api.metrics.exposition().decode().splitlines() if "rejected" in line
    ]
    assert [line for line in counted if line.endswith(" 1.0")] == [
        f'longstream_rejected_total{{reason="{reason}"}} 1.0'
    ]
    assert not any(line.endswith(" 2.0") for line in counted)


async def test_requests_are_counted_by_template(client, api):
    await client.get("/v1/sessions/a")
    await client.get("/v1/sessions/b")
    await client.request("BREW", "/x/y")
    text = api.metrics.exposition().decode()
    template = "/v1/sessions/{session_id}"
    head = "longstream_http_requests_total"
    assert f'{head}{{code="404",method="GET",route="{template}"}} 2.0' in text
    assert f'{head}{{code="404",method="other",route="unmatched"}} 1.0' in text
    assert f'longstream_http_request_duration_seconds_count{{route="{template}"}} 2.0' in text
    # Series of routes that nobody has called yet exist from the start.
    assert f'{head}{{code="200",method="POST",route="/v1/embeddings"}} 0.0' in text
    assert f'{head}{{code="201",method="POST",route="/v1/sessions"}} 0.0' in text


async def test_a_cancelled_request_is_counted_as_one_whose_client_left(client, api):
    entered = asyncio.Event()

    async def gate() -> None:
        entered.set()
        await asyncio.Event().wait()

    api.gate = gate
    call = client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    task = asyncio.ensure_future(call)
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert b'{code="499",method="POST",route="/v1/embeddings"} 1.0' in api.metrics.exposition()
