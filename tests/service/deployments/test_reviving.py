"""A model that could not be loaded is tried again."""

from itertools import islice, repeat
from typing import Any, cast

import pytest

from service.config import ServiceConfig
from service.config_models import ModelConfig
from service.deployments import encoder, reviving
from service.deployments.encoder import Encoder
from service.deployments.reviving import pauses, until_loaded
from service.encoder_node import EncoderNode
from service.errors import ConfigError, ModelLoadError, Unavailable


def test_attempts_become_rare():
    assert list(islice(pauses(), 8)) == [15, 30, 60, 120, 240, 480, 600, 600]


async def test_it_goes_on_until_it_is_loaded():
    outcomes: list[Any] = [
        ModelLoadError("no file"),
        Unavailable("store_unavailable", "down"),
        ConfigError("store"),
        OSError("a bad block"),
        "model",
    ]
    said: list[str] = []

    async def load() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return cast("str", outcome)

    assert await until_loaded(load, said.append, repeat(0.0)) == "model"
    assert len(said) == 4
    assert (said[0], said[-1]) == ("no file", "OSError: a bad block")


class Node:
    """A model that was loaded."""

    stopped = False

    async def info(self) -> str:
        return "loaded"

    async def stop(self) -> None:
        self.stopped = True


class Replica(Encoder):
    """One that ends without Ray Serve, which alone awaits the coroutine that `Encoder.__del__` is."""

    def __del__(self) -> None:  # type: ignore[override]
        pass


async def test_a_replica_serves_once_the_cause_is_gone(monkeypatch: pytest.MonkeyPatch):
    node = Node()
    outcomes: list[Any] = [ModelLoadError("no file"), ModelLoadError("half a file"), node]

    async def start(*_: object) -> Node:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Node", outcome)

    monkeypatch.setattr(EncoderNode, "start", start)
    monkeypatch.setattr(reviving, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(encoder, "replica_name", lambda: "one")
    monkeypatch.setattr(encoder, "configure_logs", lambda _: None)
    replica: Any = object.__new__(Replica)
    await replica.__init__(ModelConfig(id="a", attention="a"), ServiceConfig())
    assert await replica.failure() == "no file"
    with pytest.raises(Unavailable, match="no file"):
        await replica.info()
    await replica._reviving
    assert await replica.failure() is None
    assert await replica.info() == "loaded"
    await replica.stop()
    assert node.stopped


async def test_stopping_ends_the_attempts(monkeypatch: pytest.MonkeyPatch):
    async def start(*_: object) -> Node:
        raise ModelLoadError("no file")

    monkeypatch.setattr(EncoderNode, "start", start)
    monkeypatch.setattr(encoder, "replica_name", lambda: "one")
    monkeypatch.setattr(encoder, "configure_logs", lambda _: None)
    replica: Any = object.__new__(Replica)
    await replica.__init__(ModelConfig(id="a", attention="a"), ServiceConfig())
    await replica.stop()
    assert replica._reviving.cancelled()
