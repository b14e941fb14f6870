"""Backends of the session store, by the name a configuration gives them, and what stands in front of each."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from service.config_sessions import SessionsConfig, without_password
from service.errors import ConfigError
from service.sessions.observer import SessionObserver
from service.sessions.stores.base import Commit, CorruptRow, SessionStore
from service.sessions.stores.guarded import CircuitObserver, GuardedStore
from service.sessions.stores.memory import MemoryStore
from service.sessions.stores.sqlite import SqliteStore
from service.sessions.stores.timed import StoreObserver, TimedStore
from service.sessions.stores.verified import VerifiedStore

SQLITE_FILE: Final = "sessions.sqlite3"
"""Name of the database in the data directory where the configuration names no path."""


class ServingObserver(StoreObserver, CircuitObserver, SessionObserver, Protocol):
    """Everything that a store tells; a process's metrics listen."""


def _sqlite(spec: str, data_dir: Path, *, relaxed: bool) -> SessionStore:  # noqa: ARG001 - the table's shape
    path = spec.partition(":")[2]
    return SqliteStore(Path(path).expanduser() if path else data_dir / SQLITE_FILE)


def _memory(spec: str, data_dir: Path, *, relaxed: bool) -> SessionStore:  # noqa: ARG001 - the table's shape
    if spec != "memory":
        raise ConfigError("sessions.store: `memory` takes no argument")
    return MemoryStore()


def _redis(spec: str, data_dir: Path, *, relaxed: bool) -> SessionStore:  # noqa: ARG001 - the table's shape
    # Its client takes longer to import than everything else of the stores, and most services have no use for it.
    from service.sessions.stores.redis import RedisStore  # noqa: PLC0415

    return RedisStore(spec, relaxed=relaxed)


class _Maker(Protocol):
    def __call__(self, spec: str, data_dir: Path, *, relaxed: bool) -> SessionStore: ...


STORES: Final[Mapping[str, _Maker]] = {
    "sqlite": _sqlite,
    "memory": _memory,
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
}


def open_store(spec: str, data_dir: Path, *, relaxed: bool = False) -> SessionStore:
    """Return the store a configuration names; it opens with `async with`.

    Args:
        spec: `sqlite` (a file in `data_dir`), `sqlite:PATH`, `memory`, or the URL of a Redis server.
        data_dir: Directory of the service's data.
        relaxed: Whether a Redis server will do that may lose what it has acknowledged.

    Raises:
        ConfigError: The specification names no known store.
    """
    name, colon, argument = spec.partition(":")
    if name not in STORES or (colon and not argument):
        raise ConfigError(
            f"sessions.store: {without_password(spec)!r} is none of `sqlite`, `sqlite:PATH`, `memory`, "
            "`redis://HOST:PORT/DB`, `rediss://HOST:PORT/DB`, `unix:///SOCKET`"
        )
    return STORES[name](spec, data_dir, relaxed=relaxed)


def serving_store(
    config: SessionsConfig,
    data_dir: Path,
    observer: ServingObserver,
    clock: Callable[[], float] = time.time,
) -> SessionStore:
    """Return the configured store as processes of the service use it: timed, guarded and verified.

    Args:
        config: Names the store.
        data_dir: Directory of the service's data.
        observer: Told of operations, of the circuit, and of sessions that are lost.
        clock: Unix time, seconds.

    Raises:
        ConfigError: The configuration names no known store.
    """
    backend = open_store(config.store, data_dir, relaxed=config.durability == "relaxed")
    return TimedStore(GuardedStore(VerifiedStore(backend, clock, observer), observer), observer)


__all__ = [
    "SQLITE_FILE",
    "STORES",
    "Commit",
    "CorruptRow",
    "MemoryStore",
    "SessionStore",
    "SqliteStore",
    "open_store",
    "serving_store",
]
