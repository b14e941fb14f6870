"""Backends of the session store, by the name a configuration gives them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from service.errors import ConfigError
from service.sessions.stores.base import Commit, SessionStore
from service.sessions.stores.memory import MemoryStore
from service.sessions.stores.sqlite import SqliteStore

SQLITE_FILE: Final = "sessions.sqlite3"
"""Name of the database in the data directory where the configuration names no path."""


def _sqlite(path: str | None, data_dir: Path) -> SessionStore:
    return SqliteStore(data_dir / SQLITE_FILE if path is None else Path(path).expanduser())


def _memory(path: str | None, data_dir: Path) -> SessionStore:  # noqa: ARG001 - the table's shape
    if path is not None:
        raise ConfigError("sessions.store: `memory` takes no argument")
    return MemoryStore()


STORES: Final[Mapping[str, Callable[[str | None, Path], SessionStore]]] = {
    "sqlite": _sqlite,
    "memory": _memory,
}


def open_store(spec: str, data_dir: Path) -> SessionStore:
    """Return the store a configuration names; it opens with `async with`.

    Args:
        spec: `sqlite` (a file in `data_dir`), `sqlite:PATH`, or `memory`.
        data_dir: Directory of the service's data.

    Raises:
        ConfigError: The specification names no known store.
    """
    name, colon, argument = spec.partition(":")
    if name not in STORES or (colon and not argument):
        raise ConfigError(f"sessions.store: {spec!r} is none of `sqlite`, `sqlite:PATH`, `memory`")
    return STORES[name](argument or None, data_dir)


__all__ = [
    "SQLITE_FILE",
    "STORES",
    "Commit",
    "MemoryStore",
    "SessionStore",
    "SqliteStore",
    "open_store",
]
