"""Names that others build on are frozen: changing one is a decision, not an accident."""

import service.client
from models.attention import ATTENTIONS
from models.memory import MEMORY_RULES
from service.cli import app
from service.sessions.stores import STORES

CLIENT = {
    "AppendResult",
    "AsyncLongstreamClient",
    "Chunk",
    "Conflict",
    "Document",
    "Embeddings",
    "Gone",
    "Invalid",
    "LongstreamClient",
    "LongstreamError",
    "Model",
    "NotFound",
    "PayloadTooLarge",
    "PreconditionFailed",
    "ProtocolError",
    "RetryPolicy",
    "ServerError",
    "Session",
    "SessionPage",
    "StreamChunk",
    "StreamDone",
    "StreamEvent",
    "TransportError",
    "Unauthorized",
    "Unavailable",
}


def test_the_client():
    assert set(service.client.__all__) == CLIENT
    assert all(hasattr(service.client, name) for name in CLIENT)


def test_the_commands():
    names = {command.name for command in app.registered_commands}
    assert names == {"serve", "embed", "models", "demo", "check-config"}


def test_the_registries():
    assert set(ATTENTIONS) == {"multi-head", "infini"}
    assert set(MEMORY_RULES) == {"linear", "delta"}
    assert set(STORES) == {"sqlite", "memory"}
