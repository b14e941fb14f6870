"""Does the whole service run with nothing but loopback, and what listens there?

    deploy/isolated.sh .venv/bin/python -m loadtests.isolated [--models multi-head,infini]

Starts its own service, encodes a text, and prints a JSON report with every socket that listens. Refuses to run where
there is any other network interface.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import psutil
import typer

from service.cli.child_service import HOST, ChildService
from service.client import LongstreamClient
from service.config import client_api_key
from service.deployments.address import claim_port


def listeners(pid: int) -> list[str]:
    """Return address and owner of every listening TCP socket of a process and what it has started."""
    first = psutil.Process(pid)
    found: set[str] = set()
    for process in [first, *first.children(recursive=True)]:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                address = connection.laddr
                found.add(f"{address.ip}:{address.port} {process.name()}")
    return sorted(found)


def main(
    models: Annotated[str, typer.Option(help="Ids, separated by commas.")] = "multi-head,infini",
) -> None:
    """Start a service, use it, and report."""
    interfaces = sorted(psutil.net_if_addrs())
    if interfaces != ["lo"]:
        raise typer.BadParameter(
            f"there are interfaces {', '.join(interfaces)}: run this by deploy/isolated.sh"
        )
    with tempfile.TemporaryDirectory() as folder:
        claim, port = claim_port(HOST, 0)
        claim.close()
        service = ChildService.start(port, Path(folder) / "log", Path(folder) / "data", models)
        try:
            with LongstreamClient(service.url, client_api_key()) as client:
                widths = {
                    model.id: client.embed(["a text"], model.id).vectors.shape[1]
                    for model in client.models()
                }
            found = listeners(service.process.pid)
        finally:
            service.stop()
    report = {
        "interfaces": interfaces,
        "ready_after_s": round(service.ready_s, 1),
        "dimensions": widths,
        "listeners": found,
    }
    typer.echo(json.dumps(report, indent=1))


if __name__ == "__main__":
    typer.run(main)
