"""A session as routes answer with it: its object, its headers."""

from typing import Any

import orjson
from fastapi import Response

from service.api.services import Services
from service.api.vectors import json_response
from service.errors import ServiceError
from service.sessions.beginnings import Begun
from service.sessions.origins import NO_TRAITS, SessionTraits
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


async def traits_of(services: Services, record: SessionRecord) -> SessionTraits:
    """Return what a session is from its beginning on."""
    found = await services.catalog.traits(record.tenant, [record.id])
    return found.get(record.id, NO_TRAITS)


async def begun_response(services: Services, begun: Begun) -> Response:
    """Answer a request that began a session, now or when it was first sent."""
    record = begun.record
    body = session_json(record, await memory_bytes(services, record.model), begun.traits)
    headers = {**position_headers(record), "location": f"/v1/sessions/{record.id}"}
    return json_response({**body, "replayed": begun.replayed}, 201, headers)


def session_json(
    record: SessionRecord, memory_bytes: int | None, traits: SessionTraits
) -> dict[str, Any]:
    """Return the session object; `memory_bytes` is its model's, None while that is not served."""
    fork = None
    if traits.forked_from is not None:
        fork = {"id": traits.forked_from, "at_seq": traits.forked_at}
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
        "index": traits.indexed,
        "forked_from": fork,
        "etag": record.etag,
    }
