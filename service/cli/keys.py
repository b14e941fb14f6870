"""`longstream keys`: make, list and revoke API keys."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import ConfigFile
from service.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from service.access import KeyEntry, KeyFile

keys = typer.Typer(
    name="keys",
    help="Make, list and revoke API keys; a running service notices within a second.",
    no_args_is_help=True,
)

_File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="File of the keys; JSON if it ends in .json, else YAML.",
        show_default="auth.keys_file of the configuration",
    ),
]


@keys.command("create")
def create(  # noqa: PLR0913 - typer reads the options from the parameters
    *,
    file: _File = None,
    config: ConfigFile = None,
    tenant: Annotated[
        str, typer.Option(help="Whose sessions it opens.")
    ] = "public",  # service.access.DEFAULT_TENANT, without the import
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Let it read the metrics and nothing else.")
    ] = False,
    expires: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="From when on it is refused, UTC.",
            show_default="never",
        ),
    ] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="Limit of its own.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Limit of its own.")] = None,
    open_sessions: Annotated[int | None, typer.Option(help="Limit of its own.")] = None,
) -> None:
    """Make a key and print it; it is shown this once, and only its SHA-256 is kept."""
    from pydantic import ValidationError  # noqa: PLC0415 - commands import when they run

    from service.access import new_key  # noqa: PLC0415
    from service.config_access import RateLimits  # noqa: PLC0415

    key_file = _key_file(file, config)
    end = None if expires is None else expires.replace(tzinfo=UTC)
    try:
        limits = RateLimits(
            requests_per_second=requests_per_second,
            tokens_per_minute=tokens_per_minute,
            open_sessions=open_sessions,
        )
        entry, key = new_key(
            tenant,
            "metrics" if metrics else "api",
            end,
            limits,
            datetime.now(UTC).replace(microsecond=0),
        )
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    with key_file.changing() as entries:
        entries.append(entry)
    # Alone on standard output, so that it can be piped to where it is to go.
    typer.echo(key)
    typer.echo(
        f"longstream: key {entry.id} of tenant {entry.tenant} is in {key_file.path}; "
        "the line above is the only copy of the key itself",
        err=True,
    )


@keys.command("list")
def list_keys(file: _File = None, config: ConfigFile = None) -> None:
    """List keys by their public part."""
    from rich.console import Console  # noqa: PLC0415 - commands import when they run

    Console().print(_table(_key_file(file, config).read()))


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Public part of the key.")],
    *,
    file: _File = None,
    config: ConfigFile = None,
    forget: Annotated[bool, typer.Option("--forget", help="Remove it from the file, too.")] = False,
) -> None:
    """Refuse a key from now on; requests that run already go on."""
    key_file = _key_file(file, config)
    key_file.read()
    with key_file.changing() as entries:
        found = [index for index, entry in enumerate(entries) if entry.id == key_id]
        if not found:
            raise ConfigError(f"{key_file.path}: there is no key {key_id}")
        if forget:
            del entries[found[0]]
        else:
            entries[found[0]] = entries[found[0]].model_copy(update={"disabled": True})
    typer.echo(f"longstream: key {key_id} is {'forgotten' if forget else 'disabled'}", err=True)


def _key_file(file: Path | None, config: Path | None) -> "KeyFile":
    from service.access import KeyFile  # noqa: PLC0415 - commands import when they run
    from service.config import load_config  # noqa: PLC0415

    path = file or load_config(config).auth.keys_file
    if path is None:
        raise ConfigError("say which file with --file, or set auth.keys_file in the configuration")
    return KeyFile(path)


def _table(entries: "tuple[KeyEntry, ...]") -> "Table":
    from rich.table import Table  # noqa: PLC0415

    now = datetime.now(UTC)
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "tenant", "scope", "state", "created", "expires", "limits"):
        table.add_column(heading, no_wrap=True)
    for entry in entries:
        refused = "disabled" if entry.disabled else "expired"
        limits = entry.limits.model_dump(exclude_none=True)
        table.add_row(
            entry.id,
            entry.tenant,
            entry.scope,
            "usable" if entry.usable(now) else refused,
            _day(entry.created),
            _day(entry.expires),
            ", ".join(f"{name}={value:g}" for name, value in limits.items()) or "-",
        )
    return table


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
