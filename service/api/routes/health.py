"""`/health` and `/metrics`."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.api.dependencies import Current
from service.api.readiness import Readiness
from service.api.vectors import json_response
from service.errors import Unavailable
from service.schemas.health import Live, Ready

_TEXT: Final = "text/plain"

router = APIRouter(tags=["operations"])


async def current_readiness(request: Request) -> Readiness:
    """Return the readiness of the app's models."""
    readiness = request.app.state.readiness
    if not isinstance(readiness, Readiness):
        raise TypeError("the app was not built by create_app")
    return readiness


@router.get("/health/live", operation_id="get_liveness", responses={200: {"model": Live}})
async def get_liveness() -> Response:
    """Tell that the process answers; nothing else is asked."""
    return json_response({"status": "live"})


@router.get("/health/ready", operation_id="get_readiness", responses={200: {"model": Ready}})
async def get_readiness(
    services: Current, readiness: Annotated[Readiness, Depends(current_readiness)]
) -> Response:
    """Tell whether every model has just encoded and its store has just kept something.

    A model that could not be loaded is named and leaves the others ready (`degraded`): waiting would not mend it.
    A full disk counts as not ready, though reads would still be answered: new work cannot be kept.
    """
    if services.draining():
        raise Unavailable("draining", "This process is stopping.")
    states = await readiness.states()
    models = [
        {"id": state.id, "ready": state.error is None, "error": state.error} for state in states
    ]
    failed = [state.id for state in states if state.failed]
    waiting = [state.id for state in states if state.error is not None and not state.failed]
    if waiting or len(failed) == len(states):
        raise Unavailable(
            "model_unavailable",
            f"Not ready: {', '.join(waiting or failed)}.",
            extras={"models": models},
        )
    return json_response({"status": "degraded" if failed else "ready", "models": models})


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses={200: {"content": {_TEXT: {"schema": {"type": "string"}}}}},
)
async def get_metrics(services: Current) -> Response:
    """Return the metrics of all processes as Prometheus text."""
    return Response(await services.scrape(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
