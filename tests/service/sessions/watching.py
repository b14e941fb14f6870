"""A clock that stands until it is moved, and an observer that remembers; neither needs torch."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Clock:
    """Time that the test says; call it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Heard:
    """Everything that stores and sessions tell."""

    events: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    circuit: list[bool] = field(default_factory=list)

    def event(self, name: str) -> None:
        self.events[name] += 1

    def appended(self, position_tokens: int, tokens: int, seconds: float) -> None:
        pass

    def store_operation(self, operation: str, seconds: float) -> None:
        self.operations[operation] += 1

    def store_error(self, operation: str) -> None:
        self.errors[operation] += 1

    def store_circuit(self, *, is_open: bool) -> None:
        self.circuit.append(is_open)


class Lag:
    """How long a busy machine kept this process waiting, seconds; to be taken off times that are judged."""

    def __init__(self) -> None:
        self.total = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.02)
            self.total += time.monotonic() - began - 0.02
