"""The replica that is all there is: one model and HTTP in one process, and no hop between them."""

from service.config import ServiceConfig
from service.config_models import ModelConfig
from service.deployments.encoder import Encoder


class Solo(Encoder):
    """An encoder that speaks HTTP itself.

    A call between two replicas costs as much processor time as a short forward pass. Here there is none; the price is
    that the process which answers dies with the one that computes: clients are refused until it is replaced.

    Args:
        model: The model to serve.
        config: The whole configuration, with the port decided.
    """

    async def __init__(  # type: ignore[misc] # Serve awaits it
        self, model: ModelConfig, config: ServiceConfig
    ) -> None:
        # Imported here, as in `Encoder`.
        from service.deployments.front import HttpFront  # noqa: PLC0415
        from service.metrics import GatewayMetrics, Merger  # noqa: PLC0415

        await super().__init__(model, config)
        self._metrics = GatewayMetrics(config.sessions.backend, resident=False)
        self._merger = Merger()
        # Itself, not its node: a model that could not be loaded may be later.
        self._front = await HttpFront.open(config, {model.id: self}, self._metrics, self._scrape)

    async def stop(self) -> None:
        """Finish the running requests, then the appends, and close the stores."""
        await self._front.drain()
        await super().stop()

    def check_health(self) -> None:
        """Tell Ray Serve to replace this replica if its server has ended by itself.

        Raises:
            RuntimeError: it has.
        """
        self._front.check_health()

    async def _scrape(self) -> bytes:
        """Return what both halves measure; the encoder's tells the memory of the process."""
        name, exposition = await self.exposition()
        return self._merger.merge({name: exposition, f"http-{name}": self._metrics.exposition()})
