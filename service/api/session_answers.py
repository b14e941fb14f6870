"""A session as routes answer with it: its object, its headers."""

from typing import Any

import orjson

from service.api.services import Services
from service.errors import ServiceError
from service.sessions.records import SessionRecord


def entity_tag(record: SessionRecord) -> str:
    """Return the value of `ETag`."""
    return f'"{record.etag}"'


def position_headers(record: SessionRecord) -> dict[str, str]:
    """Return what a client goes on by: version, next number, and whether there is anything to go on with."""
    return {
        "etag": entity_tag(record),
        "next-seq": str(record.next_seq),
        "session-completed": str(record.completed).lower(),
        "cache-control": "no-store",
    }


async def memory_bytes(services: Services, model: str) -> int | None:
    """Return the size of a model's memory; a session stays readable when its model is not."""
    encoder = services.encoders.get(model)
    if encoder is None:
        return None
    try:
        return (await encoder.info()).memory_bytes
    except ServiceError:
        return None


def session_json(record: SessionRecord, memory_bytes: int | None) -> dict[str, Any]:
    """Return the session object; `memory_bytes` is its model's, None while that is not served."""
    return {
        "object": "session",
        "id": record.id,
        "model": record.model,
        "status": record.status,
        "completed": record.completed,
        "next_seq": record.next_seq,
        "tokens": record.tokens,
        "memory_bytes": memory_bytes,
        "state_bytes": record.state_bytes,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "ttl_seconds": record.ttl_seconds,
        "expires_at": record.expires_at,
        # JSON already: the client's, with its numbers as Python writes them.
        "metadata": orjson.Fragment(record.metadata),
        "etag": record.etag,
    }
