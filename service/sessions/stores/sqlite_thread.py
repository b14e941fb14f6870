"""The one thread on which a session database is used, and what happens when the disk fails it."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import structlog

from service.errors import ConfigError, ServiceError, Unavailable
from service.sessions.stores.sqlite_file import connect, is_fatal, reconnect, translate

REOPEN_SECONDS: Final = 1.0
"""Shortest time between a failure of the disk and the next attempt to use it again."""

_FAILED: Final = "the disk of the session store failed; it is checked and used again once it works"

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
log = structlog.get_logger(__name__)


class SqliteThread:
    """Does work on a database, one piece after another, off the event loop.

    A failed write to the disk, or a failed fsync, ends the connection: what the kernel has dropped it does not tell
    again. Nothing is tried twice. The file is opened anew a while later, checked from end to end, and used only if it
    is whole.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._failure: BaseException | None = None
        self._failed_at = 0.0

    async def open(self) -> None:
        """Open the file; raises `ConfigError` if it cannot be used."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="session-store")
        try:
            self._connection = await asyncio.get_running_loop().run_in_executor(
                self._executor, connect, self._path
            )
        except BaseException:
            self._executor.shutdown(wait=False)
            self._executor = None
            raise

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if self._executor is None:
            return
        executor, self._executor = self._executor, None
        closing = asyncio.get_running_loop().run_in_executor(executor, self._drop)
        executor.shutdown(wait=False)
        await asyncio.shield(closing)

    async def run(self, work: Work[T]) -> T:
        """Do `work` with the connection; a caller that is cancelled leaves it to finish or never to begin.

        Raises:
            Unavailable: `store_unavailable`.
            OutOfStorage: The disk is full.
        """
        if self._executor is None:
            raise Unavailable("store_unavailable", "the session store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._attempt, work)

    def _attempt(self, work: Work[T]) -> T:
        try:
            return work(self._usable())
        except sqlite3.IntegrityError:
            raise  # a bug of ours, not the disk's
        except sqlite3.DatabaseError as error:
            if is_fatal(error):
                self._fail("the disk of the session store failed", error)
            raise translate(error) from error
        except MemoryError as error:  # how SQLite's own want of memory comes out
            raise Unavailable("store_unavailable", "the session store has no memory") from error
        finally:
            self._leave_no_transaction()

    def _leave_no_transaction(self) -> None:
        """Give up a connection whose transaction could not even be undone; the next would fail in it for ever."""
        if self._connection is not None and self._connection.in_transaction:
            self._fail("a transaction of the session store could not be undone", None)

    def _usable(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if time.monotonic() - self._failed_at < REOPEN_SECONDS:
            raise Unavailable("store_unavailable", _FAILED) from self._failure
        try:
            self._connection = reconnect(self._path)
        except (ServiceError, ConfigError) as error:
            self._fail("the session store failed and cannot be opened again", error)
            raise Unavailable("store_unavailable", _FAILED) from error
        log.warning("store_reopened", path=str(self._path))
        return self._connection

    def _fail(self, what: str, cause: BaseException | None) -> None:
        reason = None if cause is None else str(cause.__cause__ or cause)
        log.error("store_failed", what=what, reason=reason)
        self._failure, self._failed_at = cause, time.monotonic()
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # The disk may refuse this too; the file descriptors go in any case.
            with suppress(sqlite3.Error):
                connection.close()
