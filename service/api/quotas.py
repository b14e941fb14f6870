"""Limits that a route itself looks after, because only it knows what a request costs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.api.context import RequestContext
from service.api.dependencies import Context
from service.api.services import Services
from service.sessions.beginnings import RequestKey


async def within_budget(context: Context) -> None:
    """Refuse more text from a caller that has encoded too much; raises `RateLimited`."""
    context.budget.require_tokens()


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
