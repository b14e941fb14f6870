"""The port all gateway replicas share, claimed before anything is started."""

import contextlib
import errno
import socket

from service.errors import ConfigError


def claim_port(host: str, port: int) -> tuple[socket.socket, int]:
    """Claim a TCP port for the gateways to listen on with SO_REUSEPORT.

    The returned socket is bound and never listens: it takes no connections, but as long as it is open
    the port is refused to everyone who does not share it on purpose.

    Args:
        host: Address to listen on.
        port: Port, or 0 for any free one.

    Returns:
        The claim, to be kept open, and the port's number.

    Raises:
        ConfigError: the port is taken or the address is not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Without SO_REUSEPORT first: sharing a port with another running service would split its requests.
        with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        return _bound(family, host, port, socket.SO_REUSEPORT), port
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is in use; stop what listens there or choose another with --port"
            ) from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def shared_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket for a gateway to listen on, beside the claim and other gateways.

    SO_REUSEADDR is for the next service: with it, connections that ended a moment ago do not hold the port.
    The claim goes without, or the test for a taken port would not see it.

    Raises:
        OSError: the port is taken by someone who does not share it.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return _bound(family, host, port, socket.SO_REUSEPORT, socket.SO_REUSEADDR)


def base_url(host: str, port: int) -> str:
    """Return the URL of a service; IPv6 addresses get their brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(family: socket.AddressFamily, host: str, port: int, *options: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
