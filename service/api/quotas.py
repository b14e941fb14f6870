"""Limits that a route itself looks after, because only it knows what a request costs."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.api.context import RequestContext
from service.api.dependencies import Context
from service.api.services import Services
from service.errors import READ_TOKENS, ServiceError
from service.ports import AppendCommand, AppendResult, EncoderPort
from service.sessions.beginnings import RequestKey

_CHARACTERS_OF_A_TOKEN: Final = 4
"""A rule of thumb for English."""
_SPECIAL_TOKENS: Final = 2
"""CLS and SEP, which a chunk without text has too."""


async def within_budget(context: Context) -> None:
    """Refuse more text from a caller that has encoded too much; raises `RateLimited`."""
    context.budget.require_tokens()


async def append_and_charge(
    context: RequestContext, encoder: EncoderPort, command: AppendCommand
) -> AppendResult:
    """Append, and charge what was read for it: all of it, also where the append failed midway.

    A caller that leaves is not told what its chunks came to, and neither are we, while the encoder goes on with them:
    it is charged by the length of its text.

    Raises:
        ServiceError: As `EncoderPort.append`.
    """
    try:
        result = await encoder.append(command)
    except ServiceError as error:
        context.charge(error.extras.get(READ_TOKENS, 0))
        raise
    except asyncio.CancelledError:
        characters, chunks = sum(map(len, command.chunks)), len(command.chunks)
        context.charge(math.ceil(characters / _CHARACTERS_OF_A_TOKEN) + _SPECIAL_TOKENS * chunks)
        raise
    context.charge(result.read_tokens)
    return result


@asynccontextmanager
async def room_for_a_session(
    services: Services, context: RequestContext, request: RequestKey | None
) -> AsyncIterator[None]:
    """Hold the place of one more session while it is made.

    A request that is sent again is told of the session that it began, however many there are: it takes no place.

    Args:
        services: Know the sessions.
        context: Whose session it is to be.
        request: The request's key, None without one.

    Raises:
        RateLimited: the tenant has as many as it may have.
    """
    most = context.budget.limits.open_sessions
    if most is None:
        yield
        return
    async with services.door.meters.tenant_lock(context.tenant):
        if await services.catalog.replay(context.tenant, request) is None:
            context.budget.require_session(await services.catalog.count(context.tenant))
        yield
