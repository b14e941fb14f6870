"""Headers that steer Ray Serve's own proxy have no effect: our gateway never shows them to Serve."""

import time
from typing import Any

import httpx
import pytest

from service.api.app import Services, create_app
from service.config import LimitsConfig
from service.deployments.ports import RayEncoder
from service.metrics import GatewayMetrics
from service.ports import AppendResult, ChunkAnswer, StageTimes
from service.sessions.catalog import SessionCatalog
from service.sessions.copies import SessionCopies
from service.sessions.state_tokens import StateTokens
from service.sessions.stores import MemoryStore
from tests.service.api.fake_vectors import fake_vector
from tests.service.api.kit import INFINI
from tests.service.deployments.fakes import FakeHandle

CONTROL = {
    "x-request-timeout-seconds": "-1",
    "x-request-disconnect-disabled": "?1",
    "serve_multiplexed_model_id": "other",
    "serve-multiplexed-model-id": "other",
    "x-session-id": "other-session",
    "x-serve-router-session-id": "other-session",
    "x-serve-session-id": "other-session",
    "x-serve-request-id": "other",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


async def _info() -> Any:
    return INFINI


async def _append(command: Any) -> AppendResult:
    answer = ChunkAnswer(0, fake_vector(command.chunks[0], 8), 1, 0, replayed=False)
    return AppendResult((answer,), 1, "x.1", None, StageTimes(), 3)


async def _calls(headers: dict[str, str]) -> list[Any]:
    handle = FakeHandle(info=_info, append=_append)

    async def scrape() -> bytes:
        return b""

    async with MemoryStore() as store:
        services = Services(
            encoders={"infini": RayEncoder("infini", handle)},  # type: ignore[arg-type] # a stand-in
            catalog=SessionCatalog(store),
            copies=SessionCopies(store, LimitsConfig().import_bytes),
            tokens=StateTokens(b"s" * 32, 60, time.time),
            limits=LimitsConfig(),
            metrics=GatewayMetrics(),
            scrape=scrape,
            draining=lambda: False,
        )
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            body = {"model": "infini", "id": "mine"}
            made = await client.post("/v1/sessions", json=body, headers=headers)
            assert made.status_code == 201
            path = "/v1/sessions/mine/chunks"
            answer = await client.post(
                path, json={"chunks": ["a"], "first_seq": 0}, headers=headers
            )
            assert answer.status_code == 200
    return handle.calls


async def test_calls_are_the_same_with_and_without_them() -> None:
    plain = await _calls({})
    assert await _calls(CONTROL) == plain
    assert [(name, session) for name, session, *_ in plain] == [
        ("info", None),
        ("append", "public/mine"),
    ]


@pytest.mark.parametrize("header", sorted(CONTROL))
async def test_each_of_them_changes_nothing(header: str) -> None:
    assert await _calls({header: CONTROL[header]}) == await _calls({})
