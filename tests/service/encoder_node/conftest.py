"""Encoder processes without Ray: real weights, real engine, real SQLite file."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from service.config import LimitsConfig, ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.encoder_node import EncoderNode

StartNode = Callable[..., AbstractAsyncContextManager[EncoderNode]]


@pytest.fixture
def start_node(tmp_path: Path) -> StartNode:
    """Start a node of a variant, untrained so that no figure depends on an adapter; `limits` as configured."""

    @asynccontextmanager
    async def start(attention: str, **limits: int) -> AsyncIterator[EncoderNode]:
        config = ServiceConfig(
            data_dir=tmp_path,
            engine=EngineConfig(step_tokens=256),  # a small step warms up fast
            limits=LimitsConfig.model_validate(limits),
        )
        model = ModelConfig(id=attention, attention=attention, adapter="none")
        node = await EncoderNode.start(model, config)
        try:
            yield node
        finally:
            await node.stop()

    return start
