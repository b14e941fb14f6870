"""The servers of a run: started when first asked for, stopped together at its end."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtests.bench.errors import BenchError
from loadtests.bench.neighbours import OwnSeconds, own_seconds
from loadtests.bench.peers import OURS, SESSIONS, Launch
from loadtests.bench.servers import Server
from loadtests.bench.target import HttpTarget
from loadtests.bench.vectors import Agreement, Vectors, agreement


class Fleet:
    """Starts, keeps and stops servers.

    Args:
        logs: Where their output goes.
        ours: Our service.
        peers: How to prepare each of the others, by name.
        say: Tells people what takes long.
    """

    def __init__(
        self,
        logs: Path,
        ours: Launch,
        peers: Mapping[str, Callable[[], Launch]],
        say: Callable[[str], None],
    ) -> None:
        self._logs = logs
        self._ours = ours
        self._peers = peers
        self._say = say
        self._launches: dict[str, Launch] = {}
        self._broken = ""
        self._running: dict[str, tuple[Server, HttpTarget]] = {}
        self._extra: list[HttpTarget] = []
        self.absent: dict[str, str] = {}
        """Peers that could not be started or whose vectors are wrong, and why."""
        self.ended: OwnSeconds = {}
        """What the processes of stopped servers took of the processor, as last seen."""
        self.agreements: dict[str, Agreement] = {}
        """How each peer's vectors compare with ours."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for target in self._extra:
            await target.close()
        for name in list(self._running):
            await self.stop(name)

    async def install(self) -> None:
        """Prepare every peer; one that cannot be is absent."""
        for name, prepare in self._peers.items():
            self._say(f"preparing {name}")
            try:
                self._launches[name] = await asyncio.to_thread(prepare)
            except BenchError as error:
                self.absent[name] = str(error)
                self._say(f"  {error}")

    async def ours(self) -> HttpTarget:
        """Return our service, started if it is not running.

        Raises:
            BenchError: it does not start, now or earlier in this run.
        """
        if self._broken:
            raise BenchError(self._broken)
        if OURS not in self._running:
            try:
                await self.start(self._ours)
            except BenchError as error:
                self._broken = str(error)  # it would take as long to fail again
                raise
        return self._running[OURS][1]

    async def ours_with(self, model: str) -> HttpTarget:
        """Return our service with stateless requests going to another of its models."""
        target = (await self.ours()).with_model(model)
        self._extra.append(target)
        return target

    async def believed(self, texts: list[str]) -> dict[str, HttpTarget]:
        """Return our service and every peer whose vectors equal ours.

        Args:
            texts: What each is asked for before any speed is compared.
        """
        found = {OURS: await self.ours()}
        reference = await found[OURS].vectors(texts)
        for name in self._launches:
            if name not in self.absent:
                try:
                    found[name] = await self._believed(name, reference, texts)
                except BenchError as error:
                    self.absent[name] = str(error)
                    await self.stop(name)
        return found

    async def start(self, launch: Launch) -> HttpTarget:
        """Start a server and wait until it is ready.

        Raises:
            BenchError: it did not become ready.
        """
        self._say(f"  starting {launch.name}")
        log = self._logs / f"{launch.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        server = Server.start(launch.name, launch.command, launch.variables, log, launch.folder)
        target = HttpTarget(launch.name, server.url, launch.embed_path, launch.model, SESSIONS)
        self._running[launch.name] = (server, target)
        try:
            await asyncio.to_thread(server.wait, launch.ready_path, log)
        except BaseException:
            await self.stop(launch.name)
            raise
        return target

    def server(self, name: str) -> Server:
        """Return a running server's processes."""
        return self._running[name][0]

    async def stop(self, name: str) -> None:
        """Stop a server, if it runs."""
        if name in self._running:
            server, target = self._running.pop(name)
            self.ended |= own_seconds()
            await target.close()
            await asyncio.to_thread(server.stop)

    async def _believed(self, name: str, reference: Vectors, texts: list[str]) -> HttpTarget:
        if name not in self._running:
            await self.start(self._launches[name])
        target = self._running[name][1]
        if name not in self.agreements:
            self.agreements[name] = agreement(reference, await target.vectors(texts))
        compared = self.agreements[name]
        if not compared.same:
            raise BenchError(
                f"its vectors are not those of the weights: lowest cosine {compared.lowest:.4f}"
            )
        return target
