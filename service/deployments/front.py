"""The HTTP side of a replica: store, sessions' catalog, application and server, put together."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Self

from service.access.door import open_door
from service.api.app import Services, create_app
from service.config import ServiceConfig
from service.deployments.address import shared_socket
from service.deployments.application import DRAIN_SECONDS
from service.deployments.http_server import HttpServer
from service.metrics import GatewayMetrics
from service.ports import EncoderPort
from service.sessions.catalog import SessionCatalog
from service.sessions.copies import SessionCopies
from service.sessions.lifetimes import Lifetimes
from service.sessions.secret_file import load_secret
from service.sessions.state_tokens import StateTokens
from service.sessions.stores import SessionStore, serving_store
from service.sessions.sweeping import Sweeper


class HttpFront:
    """A uvicorn of its own on the shared port, over a store and models. Build it with `open`.

    Args:
        config: The whole configuration, with the port decided.
        metrics: Where requests are counted.
    """

    def __init__(self, config: ServiceConfig, metrics: GatewayMetrics) -> None:
        self._config = config
        self._metrics = metrics
        self._draining = False
        self._resources = AsyncExitStack()
        self._server: HttpServer | None = None

    @classmethod
    async def open(
        cls,
        config: ServiceConfig,
        encoders: Mapping[str, EncoderPort],
        metrics: GatewayMetrics,
        scrape: Callable[[], Awaitable[bytes]],
    ) -> Self:
        """Open the store and listen.

        Args:
            config: The whole configuration, with the port decided.
            encoders: The served models by id.
            metrics: Where requests are counted.
            scrape: Returns the Prometheus text of all processes.

        Raises:
            ConfigError, Unavailable: the store or the API keys cannot be used.
            OSError: the port is taken by someone who does not share it.
        """
        front = cls(config, metrics)
        store = await front._resources.enter_async_context(
            serving_store(config.sessions, config.data_dir, metrics)
        )
        sweeping = Sweeper(store, metrics).running(config.sessions.sweep_seconds)
        await front._resources.enter_async_context(sweeping)
        app = create_app(await front._services(store, encoders, scrape))
        listener = shared_socket(config.host, config.port)
        front._server = HttpServer(app, listener, DRAIN_SECONDS, config.edge)
        await front._server.start()
        return front

    async def _services(
        self,
        store: SessionStore,
        encoders: Mapping[str, EncoderPort],
        scrape: Callable[[], Awaitable[bytes]],
    ) -> Services:
        config, metrics, sessions = self._config, self._metrics, self._config.sessions
        lifetimes = Lifetimes(
            sessions.ttl_seconds, sessions.max_age_seconds, sessions.tombstone_seconds
        )
        secret = await asyncio.to_thread(
            load_secret,
            sessions.state_secret_file,
            config.data_dir,
            shared_store=sessions.backend == "redis",
        )
        most_bytes = config.limits.import_bytes
        return Services(
            encoders=encoders,
            catalog=SessionCatalog(store, observer=metrics, lifetimes=lifetimes),
            copies=SessionCopies(store, most_bytes, observer=metrics, lifetimes=lifetimes),
            tokens=StateTokens(secret, sessions.state_token_seconds, time.time),
            limits=config.limits,
            metrics=metrics,
            scrape=scrape,
            draining=lambda: self._draining,
            door=open_door(config.auth, config.quotas, config.host),
            edge=config.edge,
            hosts=config.edge.hosts(config.host),
        )

    async def drain(self) -> None:
        """Take no new connections, finish the running requests, end the server and close the store."""
        self._draining = True
        if self._server is not None:
            await self._server.stop()
        await self._resources.aclose()

    def check_health(self) -> None:
        """Find out whether the server has ended by itself.

        Raises:
            RuntimeError: it has.
        """
        if not self._draining and (self._server is None or not self._server.running):
            raise RuntimeError("the HTTP server of this replica has ended")
