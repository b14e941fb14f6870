"""Which replica of an encoder a call goes to: the one that has the session's state in memory."""

from typing import Any

from ray.serve._private.common import RequestMetadata
from ray.serve._private.request_router.common import PendingRequest
from ray.serve.config import RequestRouterConfig
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

VIRTUAL_NODES = 1000
FALLBACK_REPLICAS = 1


class SessionRouter(ConsistentHashRouter):
    """Consistent hashing over the session id, safe for concurrent calls within one request.

    Ray 2.60 files pending calls under the id of the HTTP request they serve and drops all but the first
    of them, whose futures are then never resolved. Here each call is filed under its own metadata, which
    is one object per call. The three overridden methods are private to Ray: the version is pinned, and
    `tests/service/deployments/test_routing.py` fails if they are no longer what makes the difference.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # Ray does not annotate it
        self._pending: dict[int, PendingRequest] = {}

    def _add_pending_request_to_indices(self, pending_request: PendingRequest) -> None:
        self._pending[id(pending_request.metadata)] = pending_request

    def _remove_pending_request_from_indices(self, pending_request: PendingRequest) -> None:
        self._pending.pop(id(pending_request.metadata), None)

    def _get_pending_request_matching_internal_request_id(
        self, request_metadata: RequestMetadata | None = None
    ) -> PendingRequest | None:
        pending = self._pending.get(id(request_metadata))
        return None if pending is None or pending.future.done() else pending


def session_routing() -> RequestRouterConfig:
    """Return the router configuration of an encoder deployment.

    A call without a session id is spread uniformly. If the owner is dead or full the next replica on the
    ring takes over: where a session is served is a matter of speed, the store alone decides what is true.
    """
    return RequestRouterConfig(
        request_router_class=SessionRouter,  # type: ignore[arg-type] # as in Ray's own examples
        request_router_kwargs={
            "num_virtual_nodes": VIRTUAL_NODES,
            "num_fallback_replicas": FALLBACK_REPLICAS,
        },
    )
