"""What a chunk comes back as, in an append and in a stream alike."""

from collections.abc import Collection
from typing import Any

from service.api.vectors import encode_vector
from service.ports import ChunkAnswer
from service.schemas.base import EncodingFormat
from service.schemas.sessions import ReturnMember


def chunk_json(
    chunk: ChunkAnswer, encoding: EncodingFormat, members: Collection[ReturnMember]
) -> dict[str, Any]:
    """Return one chunk's answer with the members that were asked for."""
    answer: dict[str, Any] = {"seq": chunk.seq}
    if "embedding" in members:
        answer["embedding"] = encode_vector(chunk.embedding, encoding)
    if "tokens" in members:
        answer["tokens"] = chunk.tokens
        answer["token_range"] = [chunk.token_start, chunk.token_start + chunk.tokens]
    answer["replayed"] = chunk.replayed
    return answer
