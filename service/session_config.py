"""What sessions keep beside their state, and how stateless ones are signed: keys of `sessions` in `service.config`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KeepingConfig(BaseModel):
    """What is kept so that sessions can be forked, searched and handed out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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
