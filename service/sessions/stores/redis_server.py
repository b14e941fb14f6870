"""A Redis server as the store sees it: connections that are bounded, calls that end, errors with public names."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from service.config_sessions import without_password
from service.errors import ConfigError, Unavailable
from service.sessions.stores.redis_durability import inspect_durability
from service.sessions.stores.redis_errors import is_closed, translate
from service.sessions.stores.redis_topology import count_shards

CALL_SECONDS: Final = 2.0
"""Longest time of one operation, the wait for a connection included."""
CONNECTIONS: Final = 16
"""Most connections of one process."""
INSPECT_SECONDS: Final = 30.0
"""How long what a server promised is believed; a failover may have brought another one."""

T = TypeVar("T")
Argument = str | bytes | int | float
log = structlog.get_logger(__name__)


class RedisServer:
    """The server behind a URL.

    No command is ever sent twice: a write whose answer is lost may have happened, and only the record can tell.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        relaxed: Whether a server will do that may lose what it has acknowledged.
        call_seconds: Longest time of one operation.

    Raises:
        ConfigError: The URL cannot be read.
    """

    def __init__(self, url: str, *, relaxed: bool, call_seconds: float = CALL_SECONDS) -> None:
        self._shown = without_password(url)
        self._relaxed = relaxed
        self._call_seconds = call_seconds
        self._inspected_at = float("-inf")
        self._lock = asyncio.Lock()
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=call_seconds,
                socket_timeout=call_seconds,
                socket_connect_timeout=call_seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError:
            # Its words may quote a password that was taken for something else.
            raise ConfigError(
                f"sessions.store: {self._shown} cannot be read: look at port and options, and percent-encode "
                "what is no letter or digit of user and password"
            ) from None
        self._redis: Redis = Redis(connection_pool=pool)
        self._pool = pool

    async def open(self) -> None:
        """See what the server promises; one that does not answer yet is asked before the first operation.

        Raises:
            ConfigError: It promises too little, or does not let us in.
        """
        try:
            await self.call(self._nothing)
        except Unavailable as error:
            reason = error.__cause__
            if isinstance(reason, ConfigError | AuthenticationError):
                await self.close()
                raise ConfigError(f"sessions.store: {self._shown}: {reason}") from error
            told = str(reason) or type(reason).__name__
            log.warning("store_not_reachable", store=self._shown, reason=told)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._pool.disconnect()

    async def call(self, work: Callable[[Redis], Awaitable[T]]) -> T:
        """Do something with the server's client, once.

        Raises:
            Unavailable: `store_unavailable`: it did not answer in time, or refused.
            OutOfStorage: It has no room.
        """
        try:
            async with asyncio.timeout(self._call_seconds):
                if time.monotonic() - self._inspected_at > INSPECT_SECONDS:
                    await self._inspect()
                return await work(self._redis)
        except ConfigError as error:
            log.error("store_refused", store=self._shown, reason=str(error))  # noqa: TRY400 - it says all there is
            raise Unavailable(
                "store_unavailable", "the session store's server is not what sessions need"
            ) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise translate(error) from error
        except RuntimeError as error:
            if not is_closed(error):
                raise
            # Connections that idled have ended with this one: each would be found by another failure.
            await self._pool.disconnect(inuse_connections=False)
            raise translate(ConnectionError("it closed the connection")) from error

    async def script(
        self, source: str, keys: Sequence[str], values: Sequence[Argument] = ()
    ) -> Any:
        """Run a Lua script, once; raises as `call`."""

        async def run(redis: Redis) -> Any:
            return await redis.register_script(source)(keys=keys, args=values)

        return await self.call(run)

    async def _inspect(self) -> None:
        async with self._lock:
            if time.monotonic() - self._inspected_at <= INSPECT_SECONDS:
                return
            shards = await count_shards(self._redis)
            if shards > 1:
                # Ids and dues are kept across tenants, and one connection reaches the keys of one shard only.
                raise ConfigError(
                    f"it is one of {shards} shards of a Redis Cluster, and sessions need all keys on one server: use a "
                    "primary with replicas, or a cluster of a single shard"
                )
            found = await inspect_durability(self._redis)
            if not found.committed and not self._relaxed:
                raise ConfigError(
                    f"{found.promise}. {found.remedy}, or accept it with sessions.durability: relaxed"
                )
            if self._inspected_at == float("-inf"):
                report = log.info if found.committed else log.warning
                report("store_durability", store=self._shown, promise=found.promise)
            self._inspected_at = time.monotonic()

    @staticmethod
    async def _nothing(_: Any) -> None:
        """Ask for nothing: the inspection before it is what counts."""
