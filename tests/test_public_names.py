"""Names that others build on are frozen: changing one is a decision, not an accident."""

import service.client
from service.cli import app

CLIENT = {
    "MemoryDescription",
    "MemoryPart",
    "NearChunk",
    "StatelessResult",
    "StatelessState",
    "Question",
    "QueryResult",
    "Recollection",
    "RevisitedChunk",
    "SecondLook",
    "AppendResult",
    "AsyncLongstreamClient",
    "Attention",
    "AttentionMap",
    "Chunk",
    "Conflict",
    "Document",
    "Embeddings",
    "EncodedText",
    "Encodings",
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
    "Token",
    "Tokenization",
    "TransportError",
    "Unauthorized",
    "Unavailable",
}


def test_the_client():
    assert set(service.client.__all__) == CLIENT
    assert all(hasattr(service.client, name) for name in CLIENT)


def test_the_commands():
    (group,) = app.registered_groups
    assert group.typer_instance is not None
    assert group.typer_instance.info.name == "keys"
    found = {command.name for command in group.typer_instance.registered_commands}
    assert found == {"create", "list", "revoke"}
    names = {command.name for command in app.registered_commands}
    assert names == {
        "serve",
        "embed",
        "models",
        "attention",
        "evaluate",
        "evaluate-context",
        "demo",
        "check-config",
    }
