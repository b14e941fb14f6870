"""The app factory."""

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from service.api.access import AccessApp
from service.api.answer_room import AnswerRoomApp
from service.api.body_room import BodyRoom
from service.api.edge import EdgeApp
from service.api.middleware import ObservedApp
from service.api.openapi import install_openapi
from service.api.problems import install_problem_handlers
from service.api.readiness import Readiness
from service.api.routes import (
    appends,
    attention,
    cohere,
    complete,
    contextualized,
    copies,
    dashboard,
    embeddings,
    encode,
    health,
    memory,
    models,
    query,
    sessions,
    stateless,
    streams,
    tei,
    tokenize,
)
from service.api.services import CatalogPort, Services
from service.api.shedding import SheddingApp

__all__ = ["CatalogPort", "Services", "create_app"]

_ROUTERS: tuple[APIRouter, ...] = (
    models.router,
    embeddings.router,
    encode.router,
    attention.router,
    tokenize.router,
    sessions.router,
    appends.router,
    streams.router,
    query.router,
    complete.router,
    copies.router,
    stateless.router,
    memory.router,
    contextualized.router,
    cohere.router,
    tei.router,
    health.router,
    dashboard.router,
)


def create_app(services: Services) -> FastAPI:
    """Build the HTTP API over its ports.

    Args:
        services: The ports; the app holds no other state but a readiness answer a second old, and how many bytes of
            bodies and answers it holds.
    """
    app = FastAPI(
        title="longstream",
        version="1",
        description="Read a document of any length, chunk by chunk, in constant memory.",
        # The pages load scripts from a public CDN; the document itself stays.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.readiness = Readiness(services.encoders)
    app.state.body_room = BodyRoom(services.edge.held_bytes)
    for router in _ROUTERS:
        app.include_router(router)
    install_problem_handlers(app)
    install_openapi(app)
    app.add_middleware(AnswerRoomApp, room=app.state.body_room)
    app.add_middleware(SheddingApp, encoders=services.encoders)
    app.add_middleware(AccessApp, door=services.door)
    app.add_middleware(EdgeApp, edge=services.edge, hosts=services.hosts)
    # Added last, it is the outermost: refusals of those before are observed too.
    app.add_middleware(ObservedApp, metrics=services.metrics)
    services.metrics.expect_routes(
        (route.path, method, route.status_code or 200)
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    )
    return app
