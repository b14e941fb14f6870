"""The configuration's section on sessions: where they live, how long, and what stays in memory."""

import re
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")


class SessionsConfig(BaseModel):
    """Where sessions live and what stays in memory."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    store: str = Field(default="sqlite", pattern=r"^(sqlite(:.+)?|(redis|rediss)://.+|unix:///.+)$")
    """`sqlite` (a file in the data directory) or `sqlite:PATH`, for the processes of one machine; for several machines
    a Redis or Valkey server: `redis://[USER:PASSWORD@]HOST:PORT/DB`, `rediss://` with TLS, or `unix:///SOCKET`."""
    durability: Literal["committed", "relaxed"] = "committed"
    """What a Redis server must promise: `committed`, that an acknowledged append is on its disk (`appendonly yes`,
    `appendfsync always`), or the service does not start; `relaxed` takes what the server gives."""
    ttl_seconds: float | None = Field(default=None, ge=1, le=1e10)
    """How long a session lives after its last append where its client names no time; default: until it is deleted."""
    max_age_seconds: float | None = Field(default=None, ge=1, le=1e10)
    """How long a session lives however busy it is, and the longest `ttl_seconds` a client may ask for; default: any."""
    tombstone_seconds: float = Field(default=86_400.0, ge=0, le=1e10)
    """How long a session that expired or was deleted is answered with 410; then it is 404, and its id is free again."""
    sweep_seconds: float = Field(default=30.0, gt=0, le=86_400)
    """Time between sweeps of a gateway for what has expired; nothing else depends on it."""
    hot_bytes: int = Field(default=256 * 1024**2, ge=0)
    """Most bytes of session states a replica keeps beside the store; the oldest leave first."""
    kept_answers: int | None = Field(default=None, ge=1)
    """Stored answers per session that a retry can still get and a second look can compare; default: all of them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        longest = self.max_age_seconds
        if longest is not None and self.ttl_seconds is not None and self.ttl_seconds > longest:
            raise ValueError("ttl_seconds must not be longer than max_age_seconds")
        return self

    @property
    def backend(self) -> str:
        """Kind of the store, as metrics call it: `sqlite` or `redis`."""
        scheme = self.store.partition(":")[0]
        return "redis" if scheme in REDIS_SCHEMES else scheme

    @property
    def shown_store(self) -> str:
        """`store` without its password, for logs and messages."""
        return without_password(self.store)


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    password = urlsplit(url).password
    shown = url if password is None else url.replace(f":{password}@", ":***@")
    return re.sub(r"([?&]password=)[^&]*", r"\1***", shown)
