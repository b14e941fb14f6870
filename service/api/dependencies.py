"""What routes ask for: the ports, who is calling, which session, under which conditions.

All of them are coroutines: FastAPI would run plain functions in a thread each.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from service.api.context import RequestContext
from service.api.entity_tags import parse_if_match
from service.api.services import Services
from service.errors import BadRequest, NotFound, Unavailable
from service.sessions.names import IDEMPOTENCY_KEY, SESSION_ID


async def current_services(request: Request) -> Services:
    """Return the ports the app was built from."""
    services = request.app.state.services
    if not isinstance(services, Services):
        raise TypeError("the app was not built by create_app")
    return services


Current = Annotated[Services, Depends(current_services)]


async def request_context(request: Request) -> RequestContext:
    """Return identity and timing of this request."""
    return RequestContext.of(request.scope)


Context = Annotated[RequestContext, Depends(request_context)]


async def tenant(context: Context) -> str:
    """Return whose sessions this request sees: the one place to decide that."""
    return context.tenant


Tenant = Annotated[str, Depends(tenant)]


async def accepting(services: Current) -> None:
    """Refuse work that has not begun while the process is to stop."""
    refuse_while_draining(services)


def refuse_while_draining(services: Services) -> None:
    """Refuse if the process is to stop.

    Raises:
        Unavailable: `draining`.
    """
    if services.draining():
        raise Unavailable("draining", "This process is stopping; try again in a moment.")


async def path_session_id(
    session_id: Annotated[str, Path(json_schema_extra={"pattern": SESSION_ID.pattern})],
) -> str:
    """Return the session id of the path; what no session can be called is not found."""
    if not SESSION_ID.fullmatch(session_id):
        raise NotFound("session_not_found", "There is no session of that id.")
    return session_id


SessionId = Annotated[str, Depends(path_session_id)]


async def if_match(
    request: Request, _documented: Annotated[str | None, Header(alias="If-Match")] = None
) -> tuple[str, ...] | None:
    """Return the entity tags of which a session must still have one; None for no condition.

    Raises:
        BadRequest: neither `*` nor a list of entity tags.
    """
    # A list may come in several header fields, of which FastAPI's parameter is but one.
    fields = request.headers.getlist("if-match")
    return parse_if_match(", ".join(fields)) if fields else None


IfMatch = Annotated[tuple[str, ...] | None, Depends(if_match)]


async def idempotency_key(
    header: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
) -> str | None:
    """Return the key that makes a request safe to repeat where nothing else does.

    Raises:
        BadRequest: empty, longer than 255, or not printable ASCII.
    """
    if header is not None and not IDEMPOTENCY_KEY.fullmatch(header):
        raise BadRequest(
            "invalid_request",
            "Idempotency-Key must be 1 to 255 printable ASCII characters.",
            "Idempotency-Key",
        )
    return header


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Headers that make an append conditional."""

    if_match: tuple[str, ...] | None
    idempotency_key: str | None


async def conditions(tags: IfMatch, key: IdempotencyKey) -> Conditions:
    """Return the conditional headers together."""
    return Conditions(tags, key)


AppendConditions = Annotated[Conditions, Depends(conditions)]
