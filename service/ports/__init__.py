"""What the HTTP layer needs from whoever runs the models: plain values and one protocol.

`service.encoder_node.EncoderNode` implements the protocol in process; `service.deployments` implements
it over a Ray Serve handle. Values cross process boundaries: plain dataclasses of numpy, str and numbers.
"""

from service.ports.encoder import EncoderPort
from service.ports.questions import (
    NearChunk,
    QueryAnswer,
    QueryCommand,
    QueryResult,
    Recollection,
    RevisitCommand,
    RevisitedChunk,
    RevisitResult,
)
from service.ports.reading import (
    MemoryCommand,
    MemoryResult,
    PartFigures,
    ReadCommand,
    ReadResult,
)
from service.ports.tokens import (
    AttentionCommand,
    AttentionResult,
    DirectionAttention,
    EncodeResult,
    LayerAttention,
    Stage,
    TextTokens,
    TokenizeResult,
    TokenVectors,
)
from service.ports.values import (
    AppendCommand,
    AppendResult,
    ChunkAnswer,
    EmbedResult,
    ModelInfo,
    StageTimes,
)

__all__ = [
    "AppendCommand",
    "AppendResult",
    "AttentionCommand",
    "AttentionResult",
    "ChunkAnswer",
    "DirectionAttention",
    "EmbedResult",
    "EncodeResult",
    "EncoderPort",
    "LayerAttention",
    "MemoryCommand",
    "MemoryResult",
    "ModelInfo",
    "NearChunk",
    "PartFigures",
    "QueryAnswer",
    "QueryCommand",
    "QueryResult",
    "ReadCommand",
    "ReadResult",
    "Recollection",
    "RevisitCommand",
    "RevisitResult",
    "RevisitedChunk",
    "Stage",
    "StageTimes",
    "TextTokens",
    "TokenVectors",
    "TokenizeResult",
]
