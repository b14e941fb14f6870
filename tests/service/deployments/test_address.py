import socket

import pytest

from service.deployments.address import base_url, claim_port, shared_socket
from service.errors import ConfigError

HOST = "127.0.0.1"


def test_port_zero_is_decided() -> None:
    claim, port = claim_port(HOST, 0)
    with claim:
        assert claim.getsockname() == (HOST, port)
        assert port > 0


def test_gateways_listen_beside_the_claim_and_get_every_connection() -> None:
    claim, port = claim_port(HOST, 0)
    with claim, shared_socket(HOST, port) as gateway:
        gateway.listen()
        for _ in range(5):
            with socket.create_connection((HOST, port), timeout=1):
                gateway.settimeout(1)
                accepted, _ = gateway.accept()
                accepted.close()


def test_a_claimed_port_is_refused() -> None:
    claim, port = claim_port(HOST, 0)
    with claim, pytest.raises(ConfigError, match=f"port {port} on {HOST} is in use.*--port"):
        claim_port(HOST, port)


def test_a_port_another_service_shares_is_refused_too() -> None:
    with shared_socket(HOST, 0) as gateway:
        gateway.listen()
        with pytest.raises(ConfigError, match="is in use"):
            claim_port(HOST, gateway.getsockname()[1])


def test_a_port_is_free_again_right_after_its_connections_ended() -> None:
    claim, port = claim_port(HOST, 0)
    with claim, shared_socket(HOST, port) as gateway:
        gateway.listen()
        client = socket.create_connection((HOST, port), timeout=1)
        accepted, _ = gateway.accept()
        # The side that closes first keeps the pair of ports for a minute.
        accepted.close()
        client.close()
    again, _ = claim_port(HOST, port)
    again.close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.1:8000"):
        claim_port("203.0.113.1", 8000)


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")]
)
def test_base_url(host: str, url: str) -> None:
    assert base_url(host, 80) == url
