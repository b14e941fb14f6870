"""Who can talk to the service's processes: the API on its port, and nobody else without a token."""

import http.client
import ipaddress
from collections.abc import Iterator

import grpc  # type: ignore[import-untyped] # it ships no types
import psutil
import pytest

from service.config import DEFAULT_MODELS
from tests.running import RunningService

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


def listeners(service: RunningService) -> Iterator[tuple[psutil.Process, str, int]]:
    """Yield process, address and port of every listening TCP socket of the service's process family."""
    for one in service.processes():
        process = one.find()
        if process is not None:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    yield process, connection.laddr.ip, connection.laddr.port


def on_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def answers_http(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def test_only_replicas_listen_off_loopback_and_they_ask_for_a_token(
    service: RunningService,
) -> None:
    found = list(listeners(service))
    assert answers_http(int(service.url.rpartition(":")[2])), "the question itself must work"
    public = {port: one for one, address, port in found if not on_loopback(address)}
    deployments = ["gateway", *(f"encoder-{model}" for model in DEFAULT_MODELS)]
    replicas = {one.pid for name in deployments for one in service.replicas(name)}
    assert len(found) > len(public) > 0
    # Ray Serve offers no choice for these: one gRPC server per replica.
    assert {one.pid for one in public.values()} <= replicas
    for port in public:
        assert not answers_http(port)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
