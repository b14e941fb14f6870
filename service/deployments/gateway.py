"""The replica that speaks HTTP."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from service import failpoints
from service.config import ServiceConfig
from service.deployments.address import shared_socket
from service.deployments.encoder import replica_name
from service.deployments.http_server import HttpServer
from service.deployments.logs import configure_logs
from service.deployments.ports import RayEncoder
from service.deployments.scraping import Scraper

DRAIN_SECONDS = 20.0


class Gateway:
    """A stateless HTTP front with a uvicorn of its own; several share one port.

    Args:
        config: The whole configuration, with the port decided.
        encoders: Handle of each model's deployment, by model id.
    """

    async def __init__(  # type: ignore[misc] # Serve awaits it
        self, config: ServiceConfig, encoders: dict[str, DeploymentHandle[Any]]
    ) -> None:
        # Imported here: the driver names this class and needs neither FastAPI nor a store.
        from service.access.door import open_door  # noqa: PLC0415
        from service.api.app import Services, create_app  # noqa: PLC0415
        from service.metrics import GatewayMetrics  # noqa: PLC0415
        from service.sessions.catalog import SessionCatalog  # noqa: PLC0415
        from service.sessions.copies import SessionCopies  # noqa: PLC0415
        from service.sessions.lifetimes import Lifetimes  # noqa: PLC0415
        from service.sessions.secret_file import load_secret  # noqa: PLC0415
        from service.sessions.state_tokens import StateTokens  # noqa: PLC0415
        from service.sessions.stores import serving_store  # noqa: PLC0415
        from service.sessions.sweeping import Sweeper  # noqa: PLC0415

        configure_logs(config)
        failpoints.enable(config.failpoints)
        self._name = replica_name()
        self._draining = False
        self._metrics = GatewayMetrics(config.sessions.backend)
        gateways = serve.get_deployment_handle("gateway", serve.get_replica_context().app_name)
        self._scraper = Scraper([gateways, *encoders.values()])
        self._resources = AsyncExitStack()
        store = await self._resources.enter_async_context(
            serving_store(config.sessions, config.data_dir, self._metrics)
        )
        sessions, most_bytes = config.sessions, config.limits.import_bytes
        lifetimes = Lifetimes(
            sessions.ttl_seconds, sessions.max_age_seconds, sessions.tombstone_seconds
        )
        sweeping = Sweeper(store, self._metrics).running(sessions.sweep_seconds)
        await self._resources.enter_async_context(sweeping)
        secret = await asyncio.to_thread(
            load_secret,
            sessions.state_secret_file,
            config.data_dir,
            shared_store=sessions.backend == "redis",
        )
        app = create_app(
            Services(
                encoders={model: RayEncoder(model, handle) for model, handle in encoders.items()},
                catalog=SessionCatalog(store, observer=self._metrics, lifetimes=lifetimes),
                copies=SessionCopies(
                    store, most_bytes, observer=self._metrics, lifetimes=lifetimes
                ),
                tokens=StateTokens(secret, sessions.state_token_seconds, time.time),
                limits=config.limits,
                metrics=self._metrics,
                scrape=self._scrape,
                draining=lambda: self._draining,
                door=open_door(config.auth, config.quotas, config.host),
                edge=config.edge,
                hosts=config.edge.hosts(config.host),
            )
        )
        listener = shared_socket(config.host, config.port)
        self._server = HttpServer(app, listener, DRAIN_SECONDS, config.edge)
        await self._server.start()

    async def exposition(self) -> tuple[str, bytes]:
        """Return this replica's name and metrics."""
        return self._name, self._metrics.exposition()

    async def drain(self) -> None:
        """Take no new connections, finish the running requests, end the server and close the store."""
        self._draining = True
        await self._server.stop()
        await self._resources.aclose()

    async def __del__(self) -> None:
        """Drain; Ray Serve, which knows nothing of HTTP requests here, awaits this before it ends a replica."""
        await self.drain()

    def check_health(self) -> None:
        """Tell Ray Serve to replace this replica if its server has ended by itself.

        Raises:
            RuntimeError: it has.
        """
        if not self._draining and not self._server.running:
            raise RuntimeError("the HTTP server of this gateway has ended")

    async def _scrape(self) -> bytes:
        return await self._scraper.scrape(await self.exposition())
