"""What several routes answer with: a chunk, the tokens of a text."""

from collections.abc import Collection
from typing import Any

from service.api.vectors import encode_vector
from service.ports import ChunkAnswer, TextTokens
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


def tokens_json(text: TextTokens) -> list[dict[str, Any]]:
    """Return a text's tokens with their places, which CLS and SEP do not have."""
    answer = []
    for token, piece, offset in zip(text.ids, text.pieces, text.offsets, strict=True):
        start, end = offset or (None, None)
        answer.append({"id": token, "token": piece, "start": start, "end": end})
    return answer


def usage_json(tokens: int, truncated_tokens: int = 0) -> dict[str, int]:
    """Return what texts cost, as OpenAI's SDK reads it; `tokens` were encoded, CLS and SEP included."""
    return {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
        "truncated_tokens": truncated_tokens,
    }
