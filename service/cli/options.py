"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration file, YAML."),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port to listen on; 0 picks a free one.", show_default="8000"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where sessions are kept.", show_default="the user's data folder"
    ),
]
Models = Annotated[
    str | None,
    typer.Option(metavar="ID,ID", help="Serve only these models.", show_default="all"),
]
ServiceUrl = Annotated[str, typer.Option("--url", help="Where the service is.")]

DEFAULT_URL = "http://127.0.0.1:8000"
