"""All replicas' metrics as one text."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from service.metrics import Merger

TIMEOUT_S = 2.0

Exposition = tuple[str, bytes]
"""Name of a replica and its Prometheus text."""

log = structlog.get_logger(__name__)


class Scraper:
    """Asks every replica for its metrics and merges what came back within two seconds.

    Args:
        handles: Handles of all deployments whose replicas have an `exposition` method.
    """

    def __init__(self, handles: Sequence[DeploymentHandle[Any]]) -> None:
        self._handles = handles
        self._known: list[set[str]] = [set() for _ in handles]
        self._merger = Merger()

    async def scrape(self, own: Exposition) -> bytes:
        """Return the merged text.

        Args:
            own: This process's exposition, which is there even if no other answers.
        """
        answers = await asyncio.gather(*(self._ask(index) for index in range(len(self._handles))))
        expositions = dict([own, *(exposition for answer in answers for exposition in answer)])
        return self._merger.merge(expositions, alive=set().union(expositions, *self._known))

    async def _ask(self, index: int) -> list[Exposition]:
        """Ask one deployment; a replica is taken for dead only if all the others have answered."""
        try:
            results = (
                await self._handles[index]
                .broadcast("exposition")
                .results_async(timeout_s=TIMEOUT_S, return_exceptions=True)
            )
        except (TimeoutError, RayError, RayServeException) as error:
            log.warning(
                "scrape_failed",
                deployment=self._handles[index].deployment_name,
                error=type(error).__name__,
            )
            return []
        answered = [result for result in results if not isinstance(result, BaseException)]
        names = {name for name, _ in answered}
        complete = len(answered) == len(results)
        self._known[index] = names if complete else self._known[index] | names
        return answered
