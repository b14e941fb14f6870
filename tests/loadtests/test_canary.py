"""No marker of a client is in logs or metrics of the HTTP stack; of a real service the command says so."""

import logging
from pathlib import Path

import httpx
import pytest

from loadtests.canary import Canary, sow, strangers_view, texts_below
from service.deployments.address import shared_socket
from service.deployments.http_server import HttpServer
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import Api


async def test_nothing_a_client_sends_is_in_logs_metrics_or_answers_to_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    keys = Keys(tmp_path)
    key = keys.add("acme")
    api = Api(door=keys.door())
    listener = shared_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = HttpServer(api.app, listener, 5)
    await server.start()
    canary = Canary()
    with caplog.at_level(logging.DEBUG, "uvicorn"):
        async with httpx.AsyncClient(base_url=url, headers=bearer(key)) as client:
            statuses = await sow(client, canary)
            seen: dict[str, str | bytes] = {**await strangers_view(client)}
        await server.stop()
    canary.markers[key.rpartition("_")[2]] = "the key in use"
    printed = capsys.readouterr()
    assert printed.out.count("http_request") >= len(statuses)
    assert "key=" in printed.out
    assert "session=" in printed.out
    said = "".join(record.getMessage() for record in caplog.records if "httpx" not in record.name)
    hits = canary.found({**seen, "stdout": printed.out, "stderr": printed.err, "log": said})
    assert hits == {}
    assert {200, 201, 204, 400, 401, 403, 404, 405, 409, 410, 412, 415, 422} <= set(statuses)
    assert not any(status >= 500 for status in statuses)


def test_it_finds_what_is_there(tmp_path: Path):
    canary = Canary()
    marker = canary.mark("a text")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(f"line {marker} line")
    (tmp_path / "b.log").write_text("nothing")
    files = dict(texts_below([tmp_path / "logs", tmp_path / "b.log"]))
    assert len(files) == 2
    assert canary.found(files) == {"a text": [str(tmp_path / "logs" / "a.log")]}
