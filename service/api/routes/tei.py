"""Routes of text-embeddings-inference, for clients that were written for it."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Response

from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.limits import at_most, require_dimensions
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.services import Services
from service.api.vectors import json_array, json_response
from service.errors import InternalError
from service.metrics.process import package_version
from service.ports import TextTokens
from service.schemas import tei

router = APIRouter(tags=["text-embeddings-inference"])


async def chosen_model(
    services: Current, model: Annotated[str | None, Query(max_length=256)] = None
) -> str:
    """Return the model that is asked: the first that is served, unless the query names another."""
    return model or next(iter(services.encoders))


Model = Annotated[str, Depends(chosen_model)]


@router.post(
    "/embed",
    operation_id="tei_embed",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": tei.TeiVectors}},
    openapi_extra=json_request(tei.TeiEmbedRequest),
)
async def embed(
    body: Annotated[tei.TeiEmbedRequest, Depends(json_body(tei.TeiEmbedRequest))],
    services: Current,
    model: Model,
    context: Context,
) -> Response:
    """Encode texts without a session."""
    encoder = services.encoder(model)
    at_most(services.limits.texts, body.inputs, "inputs")
    await require_dimensions(encoder, body.dimensions, "dimensions")
    truncate = bool(body.truncate)
    if body.normalize:
        result = await encoder.embed(body.inputs, truncate=truncate)
        context.times += result.times
        context.charge(result.tokens)
        return json_response(await json_array(result.vectors))
    whole = await encoder.encode(body.inputs, truncate=truncate)
    context.times += whole.embedded.times
    context.charge(whole.embedded.tokens)
    means = (text.vectors.mean(0, dtype=np.float64).astype(np.float32) for text in whole.texts)
    return json_response(await json_array(means))


@router.post(
    "/embed_all",
    operation_id="tei_embed_all",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": tei.TeiTokenVectors}},
    openapi_extra=json_request(tei.TeiEmbedAllRequest),
)
async def embed_all(
    body: Annotated[tei.TeiEmbedAllRequest, Depends(json_body(tei.TeiEmbedAllRequest))],
    services: Current,
    model: Model,
    context: Context,
) -> Response:
    """Encode every token of texts."""
    at_most(services.limits.texts, body.inputs, "inputs")
    encoder = services.encoder(model)
    result = await encoder.encode(body.inputs, truncate=bool(body.truncate))
    context.times += result.embedded.times
    context.charge(result.embedded.tokens)
    return json_response(
        [await json_array(np.ascontiguousarray(text.vectors)) for text in result.texts]
    )


@router.post(
    "/tokenize",
    operation_id="tei_tokenize",
    dependencies=[Depends(accepting)],
    responses={200: {"model": tei.TeiTokens}},
    openapi_extra=json_request(tei.TeiTokenizeRequest),
)
async def tokenize(
    body: Annotated[tei.TeiTokenizeRequest, Depends(json_body(tei.TeiTokenizeRequest))],
    services: Current,
    model: Model,
    context: Context,
) -> Response:
    """Cut texts into tokens, with CLS and SEP around each text unless they are not wanted."""
    at_most(services.limits.texts, body.inputs, "inputs")
    encoder = services.encoder(model)
    result = await encoder.tokenize(body.inputs)
    context.times += result.times
    around = await _special_tokens(services, model) if body.add_special_tokens else ([], [])
    return json_response(
        [
            [*around[0], *_tokens_json(text, body.inputs[i]), *around[1]]
            for i, text in enumerate(result.texts)
        ]
    )


@router.post(
    "/similarity",
    operation_id="tei_similarity",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": tei.TeiScores}},
    openapi_extra=json_request(tei.TeiSimilarityRequest),
)
async def similarity(
    body: Annotated[tei.TeiSimilarityRequest, Depends(json_body(tei.TeiSimilarityRequest))],
    services: Current,
    model: Model,
    context: Context,
) -> Response:
    """Compare a sentence with others, by the cosine of their vectors."""
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    at_most(services.limits.texts, texts, "inputs.sentences")
    truncate = body.parameters is not None and bool(body.parameters.truncate)
    result = await services.encoder(model).embed(texts, truncate=truncate)
    context.times += result.times
    context.charge(result.tokens)
    return json_response(np.ascontiguousarray(result.vectors[1:] @ result.vectors[0]))


@router.get("/info", operation_id="tei_info", responses={200: {"model": tei.TeiInfo}})
async def info(services: Current, model: Model) -> Response:
    """Describe the model that answers."""
    found = await services.encoder(model).info()
    return json_response(
        {
            "model_id": found.id,
            "model_sha": found.fingerprint,
            "model_dtype": "float32",
            "model_type": {"embedding": {"pooling": "mean"}},
            # The service bounds tokens that wait, not requests.
            "max_concurrent_requests": services.limits.texts,
            "max_input_length": found.max_chunk_tokens,
            "max_batch_tokens": services.limits.texts * found.max_chunk_tokens,
            "max_client_batch_size": services.limits.texts,
            "auto_truncate": False,
            "tokenization_workers": 1,
            "version": package_version(),
        }
    )


async def _special_tokens(
    services: Services, model: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return CLS and SEP of a model, which puts them around a text of nothing, too."""
    [empty] = (await services.encoder(model).encode([""], truncate=False)).texts
    if len(empty.tokens.ids) != 2:  # noqa: PLR2004 - CLS and SEP
        raise InternalError("internal_error", "an empty text is not CLS and SEP")
    first, last = (
        {"id": number, "text": piece, "special": True, "start": None, "stop": None}
        for number, piece in zip(empty.tokens.ids, empty.tokens.pieces, strict=True)
    )
    return [first], [last]


def _tokens_json(tokens: TextTokens, text: str) -> list[dict[str, Any]]:
    found = []
    for number, place in zip(tokens.ids, tokens.offsets, strict=True):
        start, stop = place or (0, 0)
        found.append(
            {
                "id": number,
                "text": text[start:stop],
                "special": False,
                "start": start,
                "stop": stop,
            }
        )
    return found
