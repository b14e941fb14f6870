"""`longstream serve`: run the service in the foreground."""

from typing import Annotated

import typer

from service.cli.options import ConfigFile, DataDir, Host, Models, Port


def serve(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    models: Models = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="RAY", help="Join this Ray cluster instead of starting one."),
    ] = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    It is ready when GET /health/ready answers 200. Running requests get 20 seconds to finish when it is
    stopped; a second Ctrl-C ends it at once. No process stays behind.
    """
    from service.config import load_config  # noqa: PLC0415 - commands import when they run
    from service.deployments.supervisor import supervise  # noqa: PLC0415

    settings = load_config(config, host=host, port=port, data_dir=data_dir, serve_models=models)
    raise typer.Exit(supervise(settings, address, typer.echo))
