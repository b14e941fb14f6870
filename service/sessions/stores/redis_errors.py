"""Failures of a Redis server by the names that callers of the store know."""

import structlog
from redis.exceptions import OutOfMemoryError

from service.errors import OutOfStorage, ServiceError, Unavailable

log = structlog.get_logger(__name__)


def is_full(error: Exception) -> bool:
    """Whether the server refused a write because it has no room, in memory or on disk."""
    said = str(error)
    refused = isinstance(error, OutOfMemoryError) or "OOM command not allowed" in said
    return refused or "No space left on device" in said


def is_closed(error: RuntimeError) -> bool:
    """Whether a connection had ended before a command was written to it.

    uvloop, which Ray Serve's replicas run on, has no other word for it, and the client library lets it through.
    """
    return "the handler is closed" in str(error)


def translate(error: Exception) -> ServiceError:
    """Return what a caller of the store is told about a failure of the server.

    The reason goes into the log and no further: it may name hosts, users and the keys of other tenants.
    """
    log.warning("store_error", reason=str(error) or type(error).__name__)
    if is_full(error):
        return OutOfStorage(
            "out_of_storage", "the session store's server has no room; nothing was stored"
        )
    return Unavailable("store_unavailable", "the session store does not answer")
