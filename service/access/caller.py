"""Who a request comes from, as far as its key tells."""

from dataclasses import dataclass, field
from typing import Final

from service.access.keys import Scope
from service.config_access import RateLimits

DEFAULT_TENANT: Final = "public"
"""Owner of all sessions where no keys are configured, and of keys that are made for no other tenant."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        tenant: Whose sessions it sees.
        key_id: Public part of its key; None where no keys are configured.
        scope: What its key opens.
        limits: What it may use.
    """

    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    scope: Scope = "api"
    limits: RateLimits = field(default_factory=RateLimits)
