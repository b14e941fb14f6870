"""The replica that speaks HTTP."""

from typing import Any, Final

from ray import serve
from ray.serve.handle import DeploymentHandle

from service import failpoints
from service.config import ServiceConfig
from service.config_models import ModelConfig
from service.deployments.calls import Patience
from service.deployments.encoder import replica_name
from service.deployments.lane import Lane
from service.deployments.logs import configure_logs
from service.deployments.ports import RayEncoder
from service.deployments.scraping import Scraper

OVERLOAD_SECONDS: Final = 0.1
"""Far less than what a model that refuses has waiting, so nothing idles meanwhile."""


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
        from service.deployments.front import HttpFront  # noqa: PLC0415
        from service.metrics import GatewayMetrics  # noqa: PLC0415

        configure_logs(config)
        failpoints.enable(config.failpoints)
        self._name = replica_name()
        self._metrics = GatewayMetrics(config.sessions.backend)
        gateways = serve.get_deployment_handle("gateway", serve.get_replica_context().app_name)
        self._scraper = Scraper([gateways, *encoders.values()])
        ports = {model.id: _port(model, encoders[model.id]) for model in config.served}
        self._ports = ports
        self._front = await HttpFront.open(config, ports, self._metrics, self._scrape)

    async def exposition(self) -> tuple[str, bytes]:
        """Return this replica's name and metrics."""
        return self._name, self._metrics.exposition()

    async def drain(self) -> None:
        """Take no new connections, finish the running requests, end the server and close the store."""
        await self._front.drain()
        for port in self._ports.values():
            port.close()

    async def __del__(self) -> None:
        """Drain; Ray Serve, which knows nothing of HTTP requests here, awaits this before it ends a replica."""
        await self.drain()

    def check_health(self) -> None:
        """Tell Ray Serve to replace this replica if its server has ended by itself.

        Raises:
            RuntimeError: it has.
        """
        self._front.check_health()

    async def _scrape(self) -> bytes:
        return await self._scraper.scrape(await self.exposition())


def _port(model: ModelConfig, handle: DeploymentHandle[Any]) -> RayEncoder:
    """Return a model's port; that of several replicas one refuses says nothing of the others, and Ray chooses."""
    if model.replicas != 1:
        return RayEncoder(model.id, handle)
    lane = Lane(handle.lane.remote)
    return RayEncoder(model.id, handle, Patience(overload=OVERLOAD_SECONDS), lane)
