"""What a replica writes: in a process of its own, as logging is set up once for each."""

import json
import subprocess
import sys

import pytest

MARKER = "the private text"
SCRIPT = f"""
import asyncio, logging, structlog
from service.config import ServiceConfig
from service.deployments.logs import configure_logs
configure_logs(ServiceConfig(log_level=LEVEL, log_salt="salt"))
serve = logging.getLogger("ray.serve")
log = structlog.get_logger("x")
try:
    raise KeyError("{MARKER}")
except KeyError as error:
    log.exception("bug", session="hash")
    log.error("bug", exc_info=error)
    log.error("bug", exc_info=(type(error), error, error.__traceback__))
    serve.exception("Request failed.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=error)

async def forget():
    async def fail():
        raise KeyError("{MARKER}")
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

asyncio.run(forget())
logging.getLogger("asyncio").error("Exception in callback %s", "read('{MARKER}')")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
"""


def said(level: str) -> str:
    script = SCRIPT.replace("LEVEL", repr(level))
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == ""
    return ran.stderr


@pytest.mark.parametrize("level", ["info", "error"])
def test_messages_of_exceptions_are_not_told(level: str) -> None:
    text = said(level)
    assert MARKER not in text
    assert text.count("builtins.KeyError") >= 5, text
    assert "Request failed." in text
    assert "Task exception was never retrieved" in text
    assert "Exception in callback read" in text
    assert "Invalid HTTP request" not in text
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events] == ["bug"] * 3
    assert all("<string>" in event["exception"] for event in events)
    assert events[0]["session"] == "hash"


def test_they_are_told_to_who_debugs() -> None:
    assert MARKER in said("debug")
