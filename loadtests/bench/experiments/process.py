"""What HTTP, the gateway and Serve cost: the service beside its own engine, called in this process."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Final

from loadtests.bench.bench import Bench, endless
from loadtests.bench.checks import check_alone
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments.base import Experiment, Load, compared
from loadtests.bench.generate import Request
from loadtests.bench.load import Answer
from loadtests.bench.peers import OURS, STATELESS
from loadtests.bench.result import Result, rows_of
from loadtests.bench.rounds import Verdict, alternate
from loadtests.bench.vectors import Vectors, agreement
from service.config import ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.encoder_node import EncoderNode
from service.errors import ServiceError

IN_PROCESS: Final = "in process"
_CONCURRENCY: Final = 8
_PROMISED: Final = 0.92


class ProcessTarget:
    """The service's encoder in this process, without HTTP.

    Args:
        node: It, started.
    """

    name: Final = IN_PROCESS

    def __init__(self, node: EncoderNode) -> None:
        self._node = node

    async def send(self, request: Request) -> Answer:
        """Encode the texts of a stateless request; the vectors stay where they are."""
        try:
            await self._node.embed(request.texts, truncate=False)
        except ServiceError as error:
            return Answer("failed", detail=str(error))
        return Answer("ok")

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of some texts, (texts, dimensions).

        Raises:
            BenchError: they could not be encoded.
        """
        try:
            return (await self._node.embed(texts, truncate=False)).vectors
        except ServiceError as error:
            raise BenchError(f"{self.name}: {error}") from error


async def _over_process(bench: Bench, experiment: Experiment) -> Result:
    requests = bench.requests("batches")
    served = await bench.fleet.ours()
    threads = EngineConfig(threads=os.cpu_count() or 1)
    config = ServiceConfig(data_dir=bench.folder.absolute() / "data" / "in-process", engine=threads)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    node = await EncoderNode.start(ModelConfig(id=STATELESS, attention=STATELESS), config)
    try:
        inside = ProcessTarget(node)
        texts = bench.gate_texts()
        same = agreement(await inside.vectors(texts), await served.vectors(texts))
        if not same.same:
            raise BenchError(f"the service and its engine disagree: cosine {same.lowest:.5f}")
        units = partial(endless, requests)
        over = Load(bench, served, units, _CONCURRENCY)
        within = Load(bench, inside, units, _CONCURRENCY)
        rounds = await alternate({OURS: over, IN_PROCESS: within}, bench.settings.rounds)
        alone = await check_alone(served, over.last)
    finally:
        await node.stop()
    value = compared(rounds, "tokens_per_s", OURS, IN_PROCESS)
    return Result(
        experiment.name,
        experiment.title,
        rows_of(rounds),
        [Verdict("tokens/s, over HTTP over in process", value, _PROMISED)],
        {OURS: same, "under load": alone},
    )


HTTP_OVER_PROCESS: Final = Experiment(
    "http-over-process",
    "32 texts of mixed length a request, concurrency 8: over HTTP and in process",
    _over_process,
    lambda settings: 2 * settings.rounds * (settings.seconds + 3) + 10,
)
