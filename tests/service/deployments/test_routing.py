"""The router's contract: concurrent calls of one request all get a replica, and always the same one."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    ReplicaID,
    RequestMetadata,
)
from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.replica_wrapper import RunningReplica
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from service.deployments.routing import (
    FALLBACK_REPLICAS,
    VIRTUAL_NODES,
    SessionRouter,
    session_routing,
)

DEPLOYMENT = DeploymentID("encoder-test", "longstream")
CALLS = 16


class IdleReplica:
    """As much of Ray's `RunningReplica` as routing looks at."""

    def __init__(self, name: str) -> None:
        self.replica_id = ReplicaID(name, DEPLOYMENT)
        self.actor_id = name
        self.node_id = "node"
        self.max_ongoing_requests = 1000
        self.multiplexed_model_ids: set[str] = set()
        self.is_cross_language = False

    def push_proxy_handle(self, handle: Any) -> None:
        pass

    async def get_queue_len(self, *, deadline_s: float) -> int:
        await asyncio.sleep(0)
        return 0


def make_router(
    kind: type[ConsistentHashRouter], names: Sequence[str] = ("a", "b", "c")
) -> ConsistentHashRouter:
    router = kind(DEPLOYMENT, DeploymentHandleSource.REPLICA)
    router.initialize_state(
        num_virtual_nodes=VIRTUAL_NODES, num_fallback_replicas=FALLBACK_REPLICAS
    )
    router.update_replicas(cast("list[RunningReplica]", [IdleReplica(name) for name in names]))
    return router


def call(session: str) -> PendingRequest:
    metadata = RequestMetadata(
        request_id="request", internal_request_id="shared", session_id=session
    )
    return PendingRequest(args=[], kwargs={}, metadata=metadata)


async def route(router: ConsistentHashRouter, session: str, calls: int) -> list[str]:
    chosen = await asyncio.wait_for(
        asyncio.gather(*(router._choose_replica_for_request(call(session)) for _ in range(calls))),
        timeout=2,
    )
    return [replica.replica_id.unique_id for replica in chosen]


@pytest.mark.parametrize("calls", [1, 2, CALLS, 64])
async def test_concurrent_calls_of_one_request_all_get_the_sessions_replica(calls: int) -> None:
    chosen = await route(make_router(SessionRouter), "default/s1", calls)
    assert len(chosen) == calls
    assert len(set(chosen)) == 1


async def test_the_router_as_shipped_still_needs_the_correction() -> None:
    with pytest.raises(TimeoutError):
        await route(make_router(ConsistentHashRouter), "default/s1", CALLS)


async def test_sessions_are_spread_and_only_a_dead_replicas_sessions_move() -> None:
    router = make_router(SessionRouter)
    sessions = [f"default/s{number}" for number in range(90)]
    before = {session: (await route(router, session, 1))[0] for session in sessions}
    assert set(before.values()) == {"a", "b", "c"}
    router.update_replicas(cast("list[RunningReplica]", [IdleReplica("a"), IdleReplica("b")]))
    after = {session: (await route(router, session, 1))[0] for session in sessions}
    assert {s for s in sessions if before[s] != after[s]} == {
        s for s in sessions if before[s] == "c"
    }


async def test_nothing_is_kept_of_calls_that_were_cancelled_or_routed() -> None:
    router = make_router(SessionRouter, names=())
    waiting = asyncio.ensure_future(router._choose_replica_for_request(call("default/s1")))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    router.update_replicas(cast("list[RunningReplica]", [IdleReplica("a")]))
    assert await route(router, "default/s2", CALLS) == ["a"] * CALLS
    assert not cast("SessionRouter", router)._pending


def test_serve_takes_the_configuration() -> None:
    assert session_routing().get_request_router_class() is SessionRouter
