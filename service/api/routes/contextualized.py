"""`POST /v1/contextualizedembeddings`, as Voyage's and Perplexity's SDKs send and read it."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response

from service.api.auto_chunking import cut_at_tokens
from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.limits import at_most, require_dimensions
from service.api.number_types import numbers, packed
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.vectors import json_array, json_response
from service.ports import ChunkAnswer, EncoderPort, ReadCommand, ReadResult
from service.schemas.contextualized import (
    DEFAULT_CHUNK_TOKENS,
    ContextualizedRequest,
    ContextualizedResponse,
)

DOCUMENTS_AT_ONCE: Final = 4
"""Documents of one request that are read side by side; more would take every turn."""

router = APIRouter(tags=["embeddings"])


@router.post(
    "/v1/contextualizedembeddings",
    operation_id="create_contextualized_embeddings",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": ContextualizedResponse}},
    openapi_extra=json_request(ContextualizedRequest),
)
async def create_contextualized_embeddings(
    body: Annotated[ContextualizedRequest, Depends(json_body(ContextualizedRequest))],
    services: Current,
    context: Context,
) -> Response:
    """Read each document through a fresh memory, chunk after chunk; nothing is stored.

    A chunk's vector is the one that a session would give. Neither a chunk nor a document has a longest length.
    """
    encoder = services.encoder(body.model)
    for name in ("output_dimension", "dimensions"):
        await require_dimensions(encoder, getattr(body, name), name)
    documents = body.documents
    at_most(services.limits.texts, documents, "inputs")
    if body.enable_auto_chunking:
        size = body.chunk_size or DEFAULT_CHUNK_TOKENS
        documents = await _cut(encoder, [text for [text] in documents], size, services.limits.texts)
    at_most(services.limits.texts, [text for chunks in documents for text in chunks], "inputs")
    results = await _read(encoder, documents)
    data = []
    for index, (chunks, result) in enumerate(zip(documents, results, strict=True)):
        context.times += result.times
        texts = chunks if body.enable_auto_chunking else [None] * len(chunks)
        rows = await json_array(
            _chunk_json(answer, text, body)
            for answer, text in zip(result.answers, texts, strict=True)
        )
        data.append({"object": "list", "index": index, "data": rows})
    tokens = sum(result.tokens for result in results)
    context.charge(sum(result.read_tokens for result in results))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response({"object": "list", "data": data, "model": body.model, "usage": usage})


async def _cut(
    encoder: EncoderPort, texts: Sequence[str], most_tokens: int, most_chunks: int
) -> list[list[str]]:
    found = await encoder.tokenize(texts)

    def cut() -> list[list[str]]:
        documents: list[list[str]] = []
        left = most_chunks
        for text, tokens in zip(texts, found.texts, strict=True):
            offsets = [place for place in tokens.offsets if place]
            # One more than is taken shows that there are too many; a million would only cost.
            documents.append(list(islice(cut_at_tokens(text, offsets, most_tokens), left + 1)))
            left = max(0, left - len(documents[-1]))
        return documents

    # Megabytes of text take a while, and nobody else should wait for it.
    return await asyncio.to_thread(cut)


async def _read(encoder: EncoderPort, documents: Sequence[Sequence[str]]) -> list[ReadResult]:
    few = asyncio.Semaphore(DOCUMENTS_AT_ONCE)

    async def one(index: int, chunks: Sequence[str]) -> ReadResult:
        async with few:
            # Those that begin after others have ended are not refused: what was read would be lost.
            admitted = index >= DOCUMENTS_AT_ONCE
            command = ReadCommand(tuple(chunks), want_state=False, admitted=admitted)
            return await encoder.read(command)

    tasks = [asyncio.create_task(one(i, chunks)) for i, chunks in enumerate(documents)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:  # one that failed leaves nobody to wait for the others
            task.cancel()


def _chunk_json(
    answer: ChunkAnswer, text: str | None, body: ContextualizedRequest
) -> dict[str, Any]:
    chunk = {"object": "embedding", "index": answer.seq, "embedding": _embedding(answer, body)}
    return chunk if text is None else {**chunk, "text": text}


def _embedding(answer: ChunkAnswer, body: ContextualizedRequest) -> Any:
    form = body.encoding_format or ("float" if body.input is None else "base64_int8")
    if form == "base64_int8":
        return packed(numbers(answer.embedding, "int8"))
    if form == "base64_binary":
        return packed(numbers(answer.embedding, "ubinary", "little"))
    found = numbers(answer.embedding, body.output_dtype or "float")
    return packed(found) if form == "base64" else found
