"""The ports `create_app` is a function of."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.access import Door
from service.config import LimitsConfig
from service.config_access import EdgeConfig
from service.errors import NotFound, Unavailable
from service.metrics import GatewayMetrics
from service.ports import EncoderPort, ModelInfo
from service.sessions.beginnings import Begun, RequestKey, Wish
from service.sessions.copies import SessionCopies
from service.sessions.origins import NO_TRAITS, SessionTraits
from service.sessions.records import SessionRecord
from service.sessions.state_tokens import StateTokens


class CatalogPort(Protocol):
    """Sessions as values: everything about them that needs no model."""

    async def begin(
        self, tenant: str, model: ModelInfo, wish: Wish, traits: SessionTraits = NO_TRAITS
    ) -> Begun:
        """Begin a session, or return the one that a request with the same key began.

        Raises:
            Conflict: `session_exists`.
            Unprocessable: `model_has_no_memory`, `idempotency_key_reused`.
            Gone: The session that the key stands for is over.
        """
        ...

    async def replay(self, tenant: str, request: RequestKey | None) -> Begun | None:
        """Return the session that a request with this key began, None if it began none."""
        ...

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """Return what sessions are from their beginning on, by id; those without traits are left out."""
        ...

    async def get(self, tenant: str, session_id: str) -> SessionRecord:
        """Return an open session; raises `NotFound` or `Gone`."""
        ...

    async def count(self, tenant: str) -> int:
        """Return how many open sessions a tenant has."""
        ...

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """Return open sessions by ascending id, those after `after`, at most `limit`."""
        ...

    async def document(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, NDArray[np.float32]]:
        """Return record and running document vector, (dimensions,), as of one moment."""
        ...

    async def complete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> SessionRecord:
        """Take no more chunks; raises `PreconditionFailed` if the session is open and its tag not in `if_match`."""
        ...

    async def delete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> None:
        """Delete a session; raises `PreconditionFailed` if its entity tag is not in `if_match`."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the HTTP layer is built from.

    Attributes:
        encoders: Served models by id, in the order they are listed.
        catalog: The sessions.
        copies: Forks, exports and imports them.
        tokens: Signs the states of sessions that clients keep.
        limits: What a request may ask for.
        metrics: This process's metrics.
        scrape: Returns the Prometheus text of all processes.
        draining: True once the process is to stop: work that has not begun is refused.
        door: Tells callers by their keys; lets everyone in by default.
        edge: Bounds of heads and of slow senders.
        hosts: Names that `Host` may have; None for any.
    """

    encoders: Mapping[str, EncoderPort]
    catalog: CatalogPort
    copies: SessionCopies
    tokens: StateTokens
    limits: LimitsConfig
    metrics: GatewayMetrics
    scrape: Callable[[], Awaitable[bytes]]
    draining: Callable[[], bool]
    door: Door = field(default_factory=Door)
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    hosts: frozenset[str] | None = None

    def encoder(self, model: str) -> EncoderPort:
        """Return a served model; raises `NotFound` `model_not_found`."""
        encoder = self.encoders.get(model)
        if encoder is None:
            served = ", ".join(self.encoders)
            raise NotFound(
                "model_not_found", f"There is no model {model!r} here; served: {served}.", "model"
            )
        return encoder

    def session_encoder(self, record: SessionRecord) -> EncoderPort:
        """Return the encoder that reads a session; raises `Unavailable` if it is not served now."""
        encoder = self.encoders.get(record.model)
        if encoder is None:
            raise Unavailable(
                "model_unavailable",
                f"The model of this session, {record.model}, is not served now.",
            )
        return encoder
