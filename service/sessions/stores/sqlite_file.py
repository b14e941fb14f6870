"""A session database as a file: created privately, its settings, its schema and its failures."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from service.errors import ConfigError, OutOfStorage, ServiceError, Unavailable
from service.sessions.stores.checksum import checksum, name_digest
from service.sessions.stores.sqlite_schema import (
    APPLICATION_ID,
    MIGRATIONS,
    SCHEMA,
    SCHEMA_VERSION,
)

BUSY_SECONDS: Final = 2.0
"""Longest wait for another process's transaction."""

_PAGE_BYTES: Final = 16_384
"""A 300 KB state is 19 pages; measured, commits take two thirds of the time 4 KiB pages need."""
_WAL_BYTES: Final = 64 * 1024**2
_PRIMARY: Final = 0xFF
log = structlog.get_logger(__name__)


def connect(path: Path) -> sqlite3.Connection:
    """Open a session database, creating file and directory for this user alone if they are missing.

    A file of an older release is brought up to date, and that release refuses it from then on. The connection is in
    autocommit mode; callers write transactions out.

    Raises:
        ConfigError: The path cannot be used, the file is something else, or it is too new.
        Unavailable: `store_unavailable`: another process holds the file for too long.
    """
    try:
        if not path.exists():
            _create(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except (OSError, sqlite3.OperationalError) as error:
        raise ConfigError(f"session store {path}: {error}") from error
    try:
        _check_identity(connection, path)
        _set_up(connection)
        _migrate(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise ConfigError(f"session store {path}: not a session database") from error
        raise translate(error) from error
    except ConfigError:
        connection.close()
        raise
    return connection


def reconnect(path: Path) -> sqlite3.Connection:
    """Open a session database whose disk has failed; never makes a new one.

    The journal is copied into the database first: what a failed fsync may have kept from the disk is so written anew,
    and by a write that has not failed. Then every page is checked.

    Raises:
        ConfigError, Unavailable: It cannot be used.
    """
    if not path.exists():
        raise Unavailable("store_unavailable", f"{path} is not there")
    connection = connect(path)
    try:
        _check_whole(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise translate(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def moment(database: sqlite3.Connection) -> Iterator[None]:
    """Read everything inside as of one moment."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        if database.in_transaction:
            database.execute("COMMIT")


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write all of what happens inside, or nothing of it if an error comes out."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # Some failures (a full disk) have rolled back already.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def translate(error: sqlite3.DatabaseError) -> ServiceError:
    """Return what a caller of the store is told about a failure of the database; the reason is only logged."""
    log.warning("store_error", reason=str(error), code=getattr(error, "sqlite_errorname", None))
    if getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_FULL:
        return OutOfStorage(
            "out_of_storage", "the disk of the session store is full; nothing was stored"
        )
    return Unavailable("store_unavailable", "the session store does not answer")


def is_fatal(error: sqlite3.DatabaseError) -> bool:
    """Whether the connection can promise nothing any more: the disk did not do as it was told.

    After a failed fsync the kernel may have dropped pages and call the next fsync a success.
    """
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_IOERR


def _create(path: Path) -> None:
    """Make a complete database beside `path` and link it there: nobody ever sees half of one.

    Made in place, processes that start together would meet a file without its schema or journal mode.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            # Page size and journal mode stay with the file, and come before its first table.
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
        # If another process was faster, its file stands.
        with suppress(FileExistsError):
            os.link(draft, path)
        _sync_directory(path.parent)
    finally:
        draft.unlink()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    """Look before anything is changed: the file may be another program's."""
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise ConfigError(f"session store {path}: not a session database")
    version = _number(connection, "PRAGMA user_version")
    if version != SCHEMA_VERSION and version not in MIGRATIONS:
        raise ConfigError(
            f"session store {path}: schema {version}, this release reads {SCHEMA_VERSION}; "
            "use the release that wrote it, or another path"
        )


def _check_whole(connection: sqlite3.Connection) -> None:
    if _number(connection, "PRAGMA wal_checkpoint(TRUNCATE)"):
        raise Unavailable("store_unavailable", "another process is using it")
    with closing(connection.execute("PRAGMA integrity_check(1)")) as cursor:
        verdict = cursor.fetchone()[0]
    if verdict != "ok":
        raise Unavailable("store_unavailable", f"it is damaged, restore a copy: {verdict}")


def _set_up(connection: sqlite3.Connection) -> None:
    # A damaged text must come back, to be found damaged.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    connection.create_function("row_crc", -1, checksum, deterministic=True)
    connection.create_function("session_name", 2, name_digest, deterministic=True)
    connection.execute("PRAGMA synchronous = FULL")
    # Durable also where fsync alone does not reach the medium (macOS).
    connection.execute("PRAGMA fullfsync = ON")
    # What was deleted is overwritten where that costs no further writes.
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring an older file up to date, all of it or nothing."""
    if _number(connection, "PRAGMA user_version") == SCHEMA_VERSION:
        return
    with transaction(connection):
        # Another process that starts may have been faster: only here is the version known to stand.
        for version in range(_number(connection, "PRAGMA user_version"), SCHEMA_VERSION):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    with closing(connection.execute(query)) as cursor:
        return int(cursor.fetchone()[0])
