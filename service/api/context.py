"""What is known about one request beside its content."""

import time
from dataclasses import dataclass, field
from typing import Self

from starlette.types import Scope

from service.access import Caller, Meter
from service.ports import StageTimes

_KEY = "longstream.context"
_UNKNOWN = "the request did not come through AccessApp"
CLIENT_LEFT = 499
"""Status that the log and the metrics give a request whose client left before its answer."""


@dataclass(slots=True)
class RequestContext:
    """Identity and timing of a request.

    Attributes:
        request_id: Chosen by the client if well formed, else by us.
        started: Monotonic seconds when the request's head was read.
        times: Seconds per stage so far; routes add what their encoder calls report.
        code: Public error code, once there is one.
        status: HTTP status sent; `CLIENT_LEFT` until one was.
        event_status: Status of an error that came too late to be sent as one and became an event.
        caller: Who it comes from; None while that is not known, and for probes.
        meter: What its caller uses; None likewise.
        shed: Whether it was refused before anything was done for it.
    """

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    times: StageTimes = field(default_factory=StageTimes)
    code: str | None = None
    status: int = CLIENT_LEFT
    event_status: int | None = None
    caller: Caller | None = None
    meter: Meter | None = None
    shed: bool = False

    @property
    def elapsed(self) -> float:
        """Seconds since the request began."""
        return time.perf_counter() - self.started

    @property
    def tenant(self) -> str:
        """Whose sessions the request sees."""
        if self.caller is None:
            raise TypeError(_UNKNOWN)
        return self.caller.tenant

    @property
    def budget(self) -> Meter:
        """The meter of a request that has to have a caller."""
        if self.meter is None:
            raise TypeError(_UNKNOWN)
        return self.meter

    def charge(self, tokens: int) -> None:
        """Count tokens that were encoded for the request's caller."""
        self.budget.charge(tokens)

    def attach(self, scope: Scope) -> None:
        """Make this the context of an ASGI request."""
        scope[_KEY] = self

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return the context of an ASGI request that came through `ObservedApp`."""
        context = scope[_KEY]
        if not isinstance(context, cls):
            raise TypeError(f"{_KEY} holds {type(context).__name__}")
        return context

    def server_timing(self) -> str:
        """Return the value of `Server-Timing`, milliseconds."""
        parts = [
            f"{name};dur={seconds * 1e3:.3f}"
            for name in ("tokenize", "queue", "infer", "persist")
            if (seconds := getattr(self.times, name)) > 0.0
        ]
        return ", ".join([*parts, f"total;dur={self.elapsed * 1e3:.3f}"])
