"""The configuration's sections on who may call, from where, how much and how slowly."""

import ipaddress
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
"""How a program on this machine names it in `Host`."""


class FrozenSection(BaseModel):
    """Base of all sections: values stay, unknown keys are errors, docstrings are descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AuthConfig(FrozenSection):
    """Who may call."""

    keys_file: Path | None = None
    """YAML or JSON file of API keys, made by `longstream keys create`; every request but the health probes then needs
    one of them. Read again when it changes."""

    @field_validator("keys_file")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()


class RateLimits(FrozenSection):
    """What a caller may use. A key may have its own, which go before those of the configuration."""

    requests_per_second: float | None = Field(default=None, ge=1e-3, le=1e6, allow_inf_nan=False)
    """Requests of one key, in each gateway process; default: not limited."""
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10**12)
    """Tokens encoded for one key, CLS and SEP of every segment included, in each gateway process; streams are slowed
    down to it. Default: not limited."""
    open_sessions: int | None = Field(default=None, ge=1, le=10_000)
    """Sessions of one tenant that are open; default: not limited."""

    def over(self, defaults: "RateLimits") -> "RateLimits":
        """Return these limits, completed by others where they say nothing."""
        own = self.model_dump(exclude_none=True)
        return defaults.model_copy(update=own)


class EdgeConfig(FrozenSection):
    """What a connection may do before anything is known of its sender."""

    allowed_hosts: tuple[str, ...] | None = None
    """Names that `Host` may have beside `host` and names of loopback, without a port, or `*` for any. Default: none
    where `host` is loopback, which keeps out web pages whose name was made to resolve to it; else any."""
    connections: int = Field(default=2048, ge=1)
    """Most open connections of one gateway process. One more closes the oldest that waits for a request, or is answered
    503 if none does."""
    head_bytes: int = Field(default=32 * 1024, ge=1024)
    """Largest request line and headers together."""
    head_seconds: float = Field(default=10.0, gt=0)
    """Longest time a request's head may take to arrive."""
    held_bytes: int = Field(default=256 * 1024**2, ge=1024)
    """Bytes of bodies and of answers over 64 KiB that one gateway process holds at once, until they are answered or
    sent; a request with more is answered 503, unless it is the only one. An answer to a change of a session counts
    and is never refused; streams hold a few pieces each and do not count."""
    headers: int = Field(default=100, ge=8)
    """Most header fields of one request."""
    url_bytes: int = Field(default=8 * 1024, ge=256)
    """Longest request target, query included."""
    idle_seconds: float = Field(default=15.0, gt=0)
    """Longest time between two bytes of a streamed body while the service waits for them."""
    linger_seconds: float = Field(default=5.0, gt=0)
    """How long the rest of a body is still taken, and dropped, once its request or connection has ended."""
    unread_seconds: float = Field(default=60.0, gt=0)
    """Longest time in which a client may take less than 64 KiB of an answer that waits for it; an answer over 64 KiB
    has to be taken within this time and a second more for each 64 KiB."""

    @field_validator("allowed_hosts")
    @classmethod
    def _lower(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(name.strip().lower() for name in names)

    def hosts(self, bound_to: str) -> frozenset[str] | None:
        """Return the names that `Host` may have where the service listens on `bound_to`; None for any."""
        allowed = self.allowed_hosts
        if allowed is None:
            allowed = () if is_loopback(bound_to) else ("*",)
        if "*" in allowed:
            return None
        own = f"[{bound_to}]" if ":" in bound_to else bound_to
        return frozenset({*allowed, *LOOPBACK_NAMES, own.lower()})


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
