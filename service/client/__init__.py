"""Python clients of the longstream API, blocking and asyncio.

with LongstreamClient() as client:
    session = client.create_session("infini")
    for chunk in client.append(session.id, ["Call me Ishmael."], first_seq=0).chunks:
        print(chunk.seq, chunk.embedding[:3])
"""

from service.client.asynchronous import AsyncLongstreamClient
from service.client.blocking import LongstreamClient
from service.client.copy_results import (
    MemoryDescription,
    MemoryPart,
    StatelessResult,
    StatelessState,
)
from service.client.core import RetryPolicy
from service.client.encoding_results import Embeddings, Model
from service.client.errors import (
    Conflict,
    Gone,
    Invalid,
    LongstreamError,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    ProtocolError,
    ServerError,
    TransportError,
    Unauthorized,
    Unavailable,
)
from service.client.events import StreamChunk, StreamDone, StreamEvent
from service.client.results import (
    AppendResult,
    Chunk,
    Document,
    Session,
    SessionPage,
)
from service.client.session_results import (
    NearChunk,
    QueryResult,
    Question,
    Recollection,
    RevisitedChunk,
    SecondLook,
)
from service.client.token_results import (
    Attention,
    AttentionMap,
    EncodedText,
    Encodings,
    Token,
    Tokenization,
)

__all__ = [
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
    "MemoryDescription",
    "MemoryPart",
    "Model",
    "NearChunk",
    "NotFound",
    "PayloadTooLarge",
    "PreconditionFailed",
    "ProtocolError",
    "QueryResult",
    "Question",
    "Recollection",
    "RetryPolicy",
    "RevisitedChunk",
    "SecondLook",
    "ServerError",
    "Session",
    "SessionPage",
    "StatelessResult",
    "StatelessState",
    "StreamChunk",
    "StreamDone",
    "StreamEvent",
    "Token",
    "Tokenization",
    "TransportError",
    "Unauthorized",
    "Unavailable",
]
