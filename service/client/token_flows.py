"""The flows of the routes about tokens; see `service.client.flows`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.client.core import Call, Flow, RetryPolicy, encoded_json, exchange, parsed
from service.client.errors import invalid
from service.client.flows import BASE64, listed
from service.client.token_results import Attention, Encodings, Tokenization


@dataclass(frozen=True, slots=True)
class AttentionQuery:
    """Which attention of a text to show.

    Attributes:
        text: The text.
        context: Text that a model with memory reads before it.
        layers: Layers, from 0; None for all.
        heads: Heads, from 0; None for all.
        stages: Any of `scores`, `weights`, `outputs`.
    """

    text: str
    context: str | None
    layers: Sequence[int] | None
    heads: Sequence[int] | None
    stages: Sequence[str]


def tokenize(texts: Sequence[str], model_id: str, retry: RetryPolicy) -> Flow[Tokenization]:
    """Find the tokens of texts."""
    body = {"model": model_id, "input": listed(texts)}
    answer = yield from exchange(Call("POST", "/v1/tokenize", body=encoded_json(body)), retry)
    return parsed(answer, Tokenization.of)


def encode(
    texts: Sequence[str], model_id: str, retry: RetryPolicy, *, truncate: bool, special: bool
) -> Flow[Encodings]:
    """Encode texts with all their tokens."""
    body: dict[str, Any] = {
        "model": model_id,
        "input": listed(texts),
        "return": ["embedding", "tokens"],
        "encoding_format": BASE64,
        "truncate": truncate,
        "special_tokens": special,
    }
    answer = yield from exchange(Call("POST", "/v1/encode", body=encoded_json(body)), retry)
    return parsed(answer, Encodings.of)


def attention(query: AttentionQuery, model_id: str, retry: RetryPolicy) -> Flow[Attention]:
    """Show how a text is attended to."""
    body: dict[str, Any] = {
        "model": model_id,
        "input": query.text,
        "return": listed(query.stages),
    }
    if query.context is not None:
        body["context"] = query.context
    for name, chosen in (("layers", query.layers), ("heads", query.heads)):
        if chosen is not None:
            body[name] = _indices(chosen, name)
    answer = yield from exchange(Call("POST", "/v1/attention", body=encoded_json(body)), retry)
    return parsed(answer, Attention.of)


def _indices(chosen: Sequence[int], name: str) -> list[int]:
    try:
        return list(chosen)
    except TypeError as error:
        raise invalid(f"{name} is no sequence of numbers: {error}") from error
