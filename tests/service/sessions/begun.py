"""Sessions that begin as those of a client that chooses little."""

from service.ports import ModelInfo
from service.sessions.beginnings import Wish
from service.sessions.catalog import SessionCatalog
from service.sessions.records import SessionRecord


async def begin_session(
    catalog: SessionCatalog,
    tenant: str,
    model: ModelInfo,
    session_id: str | None = None,
    *,
    metadata: str | None = None,
    ttl_seconds: float | None = None,
) -> SessionRecord:
    """Begin a session that is not searched and whose request has no key."""
    wish = Wish(session_id, metadata, ttl_seconds=ttl_seconds)
    return (await catalog.begin(tenant, model, wish)).record
