"""A session that is stored nowhere, as routes answer with it."""

from typing import Any

from fastapi import Response

from service.api.services import Services
from service.api.vectors import json_response
from service.errors import Unprocessable
from service.ports import ModelInfo
from service.sessions.codec import encode, unread
from service.sessions.state_tokens import StateToken, TokenState


def begin_stateless(services: Services, tenant: str, model: ModelInfo) -> Response:
    """Answer with the token of a document of which nothing has been read.

    Raises:
        Unprocessable: `model_has_no_memory`.
    """
    if model.memory_bytes == 0:
        raise Unprocessable(
            "model_has_no_memory",
            f"Model {model.id} keeps nothing between chunks; sessions need a model with memory.",
            "model",
        )
    state = encode(unread(model.dimensions))
    token = services.tokens.issue(tenant, TokenState(model.id, model.fingerprint, 0, state))
    body = {
        "object": "stateless_session",
        "model": model.id,
        **token_json(token),
        "next_seq": 0,
        "tokens": 0,
    }
    return json_response(body, 201, {"cache-control": "no-store"})


def token_json(token: StateToken) -> dict[str, Any]:
    """Return a token's members."""
    return {"state_token": token.text, "expires_at": token.expires_at}
