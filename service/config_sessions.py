"""The configuration's section on sessions: where they live, how long, what is kept of them, what stays in memory."""

import re
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")

_USER_PASSWORD: Final = re.compile(r"^(\w+:/*[^:@]*):.*@", re.DOTALL)
"""To the last `@`: a password that was not percent-encoded may hold any character, also one that parsers stop at."""
_QUERY_PASSWORD: Final = re.compile(r"([?&][^=&]*password=)[^&]*", re.IGNORECASE)


class SessionsConfig(BaseModel):
    """Where sessions live, how long, what is kept of them, and what stays in memory."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    store: str = Field(
        default="sqlite", pattern=r"^(sqlite(:.+)?|(redis|rediss)://.+|unix:///.+)$", repr=False
    )
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
    snapshots: int = Field(default=2, ge=0, le=64)
    """Earlier states kept per session, to fork it from there: those after the newest so many of every
    `snapshot_every`-th chunk. Each takes as much disk as the state itself; 0 keeps none."""
    snapshot_every: int = Field(default=32, ge=1)
    """Chunks from one kept state to the next."""
    index_chunks: int = Field(default=16_384, ge=1, le=1_000_000)
    """Chunk vectors that a session with `index: true` is searched by: the newest so many. Their answers are kept even
    where `kept_answers` is less."""
    index_bytes: int = Field(default=64 * 1024**2, ge=0)
    """Most bytes of chunk vectors a replica keeps in memory between searches; the oldest leave first."""
    state_secret_file: Path | None = None
    """File with the secret that signs state tokens, 32 bytes or more. Default: `state-secret` in the data directory,
    made when the service first starts. All gateways of a service need the same."""
    state_token_seconds: int = Field(default=86_400, ge=1)
    """How long a state token is accepted."""

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
    """Return a URL as it may be shown, also one that cannot be read: it may hold a password all the same."""
    shown = _QUERY_PASSWORD.sub(r"\1***", url)
    return _USER_PASSWORD.sub(r"\1:***@", shown)
