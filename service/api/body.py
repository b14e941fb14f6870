"""Request bodies under four bounds: their size, their time, their type, and how many of them there are."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers

from service.api.body_room import Share
from service.api.dependencies import Current
from service.api.problems import RequestTimeout
from service.api.services import Services
from service.api.validation import Body, parse_body
from service.errors import (
    BadRequest,
    PayloadTooLarge,
    ServiceError,
    Unavailable,
    UnsupportedMedia,
)

DRAIN_BYTES: Final = 16 * 1024**2
"""How much of a refused body is still read, so that a client in the middle of it gets the answer."""
_LONGEST_TYPE: Final = 256
"""Characters of a `Content-Type` that is looked at."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a body may be: its type, its size, its time."""

    media_type: str
    most_bytes: int
    seconds: float


async def body_share(request: Request) -> Share:
    """Return a request's share of the process's room for bodies, which it has until its answer is sent."""
    return Share.of(request.scope)


BodyShare = Annotated[Share, Depends(body_share)]


def json_body(
    model: type[Body], most_bytes: int | None = None, *, optional: bool = False
) -> Callable[[Request, Current, BodyShare], Awaitable[Body]]:
    """Return a dependency that reads, parses and validates a JSON body.

    Args:
        model: What the body must be.
        most_bytes: A bound below the configured one, for routes that need little.
        optional: Whether a request without a body, and then without a type of it, is as good as `{}`.
    """

    async def read(request: Request, services: Current, share: BodyShare) -> Body:
        if optional and not _has_body(request.headers):
            return parse_body(model, b"{}", services.limits.texts)
        cap = min(services.limits.body_bytes, most_bytes or services.limits.body_bytes)
        limits = Limits("application/json", cap, services.limits.body_seconds)
        body = await _read_capped(request, limits, share)
        return parse_body(model, body, services.limits.texts)

    return read


def raw_body(
    media_type: str, most_bytes: Callable[[Services], int]
) -> Callable[[Request, Current, BodyShare], Awaitable[bytes]]:
    """Return a dependency that reads a body as it is.

    Args:
        media_type: Its type.
        most_bytes: Its bound, from the configuration.
    """

    async def read(request: Request, services: Current, share: BodyShare) -> bytes:
        limits = Limits(media_type, most_bytes(services), services.limits.body_seconds)
        return await _read_capped(request, limits, share)

    return read


def require_media_type(headers: Headers, media_type: str) -> None:
    """Refuse a body of another type or another charset than UTF-8; no compressed one comes this far.

    Raises:
        UnsupportedMedia: as said.
    """
    value = headers.get("content-type", "application/octet-stream")
    message = Message()
    # The parser takes time quadratic in the number of parameters.
    message["content-type"] = value if len(value) <= _LONGEST_TYPE else "application/octet-stream"
    charset = str(message.get_param("charset") or "utf-8").lower()
    if message.get_content_type() != media_type or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMedia(
            "unsupported_media_type", f"Content-Type must be {media_type}; charset=utf-8."
        )


def _has_body(headers: Headers) -> bool:
    """Tell whether a request has a body (RFC 9112, 6.3); one that is announced as nothing is none."""
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _read_capped(request: Request, limits: Limits, share: Share) -> bytes:
    refusal = _refusal_of_head(request.headers, limits)
    cap, seconds = limits.most_bytes, limits.seconds
    body = bytearray()
    received = 0
    try:
        async with asyncio.timeout(seconds), aclosing(request.stream()) as pieces:
            async for piece in pieces:
                received += len(piece)
                if refusal is None:
                    refusal = _refusal_of_piece(received, len(piece), cap, share)
                if refusal is None:
                    body += piece
                elif received > DRAIN_BYTES:
                    break
    except TimeoutError:
        refusal = refusal or RequestTimeout(
            "request_timeout",
            f"The body did not arrive within {seconds:g} seconds.",
            extras={"body_seconds": seconds},
        )
    if refusal is not None:
        raise refusal
    return bytes(body)


def _refusal_of_head(headers: Headers, limits: Limits) -> ServiceError | None:
    """Return why a body need not be looked at, if its headers say so."""
    try:
        require_media_type(headers, limits.media_type)
    except UnsupportedMedia as refusal:
        return refusal
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return BadRequest("invalid_request", "Content-Length is not a number.")
    cap = limits.most_bytes
    # Long numbers are compared by their digits: int() refuses to read thousands of them.
    digits = length.lstrip("0")
    if len(digits) > len(str(cap)) or int(digits or "0") > cap:
        return _too_large(cap)
    return None


def _refusal_of_piece(received: int, count: int, cap: int, share: Share) -> ServiceError | None:
    """Return why no more of a body is held, or hold `count` bytes more."""
    if received > cap:
        return _too_large(cap)
    try:
        share.take(count)
    except Unavailable as refusal:
        return refusal
    return None


def _too_large(cap: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        "payload_too_large",
        f"The body is larger than {cap} bytes; send it in parts, or use a stream.",
        extras={"max_body_bytes": cap},
    )
