"""Over how many servers a Redis Cluster spreads its keys."""

from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

_SIZE: Final = "cluster_size"


async def count_shards(redis: Redis) -> int:
    """Return how many primaries share the keys: 1 for a server by itself, and for one that does not let us ask.

    Where that is wrong, every command on a key of another shard is refused (MOVED), and nothing is stored halfway.
    """
    try:
        about: Any = await redis.info("cluster")
        if not about.get("cluster_enabled"):
            return 1
        client: Any = redis  # has no type for this
        text = await client.execute_command("CLUSTER", "INFO")
    except ResponseError:
        return 1
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return max(1, int(fields.get(_SIZE, 1)))
