"""Slow clients against the whole HTTP stack over fakes; the figures of a real service are the command's."""

from pathlib import Path

from loadtests.slow_clients import attack
from service.config import LimitsConfig
from service.config_access import EdgeConfig
from service.deployments.address import shared_socket
from service.deployments.http_server import HttpServer
from tests.service.api.keys import Keys
from tests.service.api.kit import Api


async def test_slow_clients_are_cut_off_and_others_served(tmp_path: Path):
    keys = Keys(tmp_path)
    key = keys.add("acme")
    edge = EdgeConfig(head_seconds=1.5)
    api = Api(door=keys.door(), edge=edge, limits=LimitsConfig(body_seconds=1.5))
    listener = shared_socket("127.0.0.1", 0)
    server = HttpServer(api.app, listener, 5, edge)
    await server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    alone, among, slow = await attack(url, key, uploads=30, heads=20, alone_s=0.5)
    await server.stop()
    assert len(slow.lived_s) == 50
    counted = b'http_requests_total{code="408",method="POST",route="/v1/embeddings"} 30.0'
    assert counted in api.metrics.exposition()
    assert slow.statuses == {"408": 30, "closed": 20}
    assert alone.failures == among.failures == 0
    assert len(among.seconds) > 5
    # They would go on for as long as they are let.
    assert max(slow.lived_s) < 30
