"""What a Redis server's answer is worth once its machine loses power: read from its configuration, never assumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

_SETTINGS: Final = (
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory",
    "maxmemory-policy",
)
_ALWAYS: Final = (
    "set `appendonly yes`, `appendfsync always` and `no-appendfsync-on-rewrite no` there"
)


@dataclass(frozen=True, slots=True)
class Durability:
    """What a server promises.

    Attributes:
        committed: Whether what it acknowledged is on its disk. A failover to a replica is another matter: replication
            is asynchronous, and what only the lost primary had is lost with it.
        promise: The same in words.
        remedy: What to do for more.
    """

    committed: bool
    promise: str
    remedy: str = ""


def judge(settings: Mapping[str, str]) -> Durability:
    """Return what a server with these settings promises.

    Args:
        settings: Values of `CONFIG GET` by name.
    """
    policy = settings.get("maxmemory-policy", "noeviction")
    if settings.get("maxmemory", "0") != "0" and policy != "noeviction":
        return Durability(
            committed=False,
            promise=f"a full server drops sessions by itself (maxmemory-policy {policy})",
            remedy="set `maxmemory-policy noeviction` there",
        )
    if settings.get("appendonly") != "yes":
        promise = "a crash loses everything since the last snapshot (appendonly no)"
    elif settings.get("appendfsync") == "everysec":
        promise = "a crash loses up to a second of acknowledged appends (appendfsync everysec)"
    elif settings.get("appendfsync") != "always":
        promise = "a power failure loses what the kernel had not written (appendfsync no)"
    elif settings.get("no-appendfsync-on-rewrite") == "yes":
        promise = "nothing is synced while the log is rewritten (no-appendfsync-on-rewrite yes)"
    else:
        return Durability(committed=True, promise="what is acknowledged is on disk")
    return Durability(committed=False, promise=promise, remedy=_ALWAYS)


async def inspect_durability(redis: Redis) -> Durability:
    """Ask a server what it promises; managed ones often forbid the question."""
    try:
        settings: dict[str, str] = {}
        for name in _SETTINGS:
            found = await redis.config_get(name)
            settings |= {_text(key): _text(value) for key, value in found.items()}
    except ResponseError as error:
        return Durability(
            committed=False,
            promise=f"it does not tell what a crash loses (CONFIG GET: {error})",
            remedy="allow CONFIG GET to this user",
        )
    return judge(settings)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
