"""What is served, and how its work becomes forward passes: two sections of the configuration."""

from pydantic import Field

from models.config import DEFAULT_WEIGHTS, MemoryRuleName, Precision
from service.config_access import FrozenSection as _Frozen
from service.config_replicas import Replicas


class ModelConfig(_Frozen):
    """One served encoder."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name clients put into `model`."""
    attention: str
    """A variant: one of those that `DEFAULT_MODELS` lists."""
    weights: str = DEFAULT_WEIGHTS
    """`package:NAME` (an installed weights package), `hub:OWNER/NAME@REVISION`, or a directory."""
    adapter: str = "packaged"
    """`packaged` (the trained one that comes with longstream, if any), a file, or `none`, without recall too."""
    memory_rule: MemoryRuleName = "linear"
    """How a memory is written: `linear` and `delta` are Infini-attention's equations 8 and 9, `delta-corrected` and
    `ridge` go beyond it; ignored by variants without memory."""
    precision: Precision = "fp32"
    """What linear layers are computed in: `fp32`, or `bf16`, faster where the processor has instructions for it, and
    refused where not. All else, and every memory, is float32; sessions of one are not carried on in the other."""
    replicas: Replicas = 1
    """Processes that serve this model, or `{min, max, queued_tokens}`: as many as the waiting tokens ask for. Sessions
    are spread over them by consistent hashing."""

    @property
    def first_replicas(self) -> int:
        """Processes that the service starts with."""
        return self.replicas if isinstance(self.replicas, int) else self.replicas.min


class EngineConfig(_Frozen):
    """How work becomes forward passes."""

    step_tokens: int = Field(default=2048, ge=256)
    """Most tokens packed into one forward pass."""
    queue_tokens: int = Field(default=262_144, ge=256)
    """Most tokens waiting; more are refused with 503 `overloaded`, but for short requests, no longer than a step, of
    which twice as many may wait, and for one that is larger by itself."""
    round_seconds: float = Field(default=6.0, gt=0, le=600)
    """Longest time that a short request should have to wait, for all other short ones and a turn of each long one; when
    those ahead of it take longer, it is refused, too."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads of a replica; default: all cores of the machine."""
