"""Named places at which a test ends a process of the service, as a crash would. Off in production.

Disarmed, a failpoint is a call that compares with None. A process looks for orders only if its configuration names a
directory for them (`failpoints`), which is refused for a service that others can reach and warned of at every start.

In that directory the file `armed` is an order: which failpoint, and at which time it is reached. The process that gets
there takes the order away by renaming it, so that one order ends one process, writes its own id into it, and sends
itself SIGKILL.
"""

import json
import os
import signal
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import structlog

Failpoint = Literal[
    "gateway.forward",
    "gateway.answer",
    "recovery.load",
    "engine.step",
    "append.encoded",
    "store.write",
    "append.committed",
    "hot.evict",
]
FAILPOINTS: Final[tuple[Failpoint, ...]] = get_args(Failpoint)
WHERE: Final[Mapping[Failpoint, str]] = {
    "gateway.forward": "the gateway has an append and has not passed it on",
    "gateway.answer": "the gateway has the encoder's answer and has not sent it",
    "recovery.load": "a stored state was read back and verified, and not used yet",
    "engine.step": "a forward pass has run and nobody has its results",
    "append.encoded": "an append's state is ready to be stored and the store was not asked",
    "store.write": "all rows of a transaction are written and it is not committed (SQLite)",
    "append.committed": "an append is durable and nobody was told",
    "hot.evict": "a state has just left memory for want of room",
}
"""What has happened where a process dies, and what has not."""

_ARMED: Final = "armed"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """Where a process is to die.

    Attributes:
        failpoint: The place.
        hits: The how-manyth time a process gets there, from 1.
        id: Never the same twice.
    """

    failpoint: Failpoint
    hits: int
    id: str


class Orders:
    """Follows the orders in a directory.

    Args:
        directory: Where orders are.
        die: Ends this process.
    """

    def __init__(self, directory: Path, die: Callable[[], None]) -> None:
        self._directory = directory
        self._die = die
        self._lock = threading.Lock()
        self._counted = ""
        self._hits = 0

    def reached(self, failpoint: Failpoint) -> None:
        """Count, and die if this is what was ordered."""
        with self._lock:
            order = _read(self._directory)
            if order is None or order.failpoint != failpoint:
                return
            if order.id != self._counted:
                self._counted, self._hits = order.id, 0
            self._hits += 1
            if self._hits == order.hits and self._take(order):
                self._die()

    def _take(self, order: Order) -> bool:
        """Make the order this process's own; False if another was faster."""
        try:
            taken = (self._directory / _ARMED).rename(self._directory / f"{order.id}.taken")
        except FileNotFoundError:
            return False
        # A file of its own: another process may be reading the order this very moment.
        taken.with_suffix("").write_text(str(os.getpid()), encoding="ascii")
        return True


_orders: Orders | None = None


def reach(failpoint: Failpoint) -> None:
    """Mark a place at which a test may end this process."""
    if _orders is not None:
        _orders.reached(failpoint)


def enable(directory: Path | None) -> None:
    """Let this process follow orders from now on; None, the default, lets it follow none."""
    global _orders  # noqa: PLW0603 - a failpoint is reached from everywhere and must cost nothing where it is off
    _orders = None
    if directory is not None:
        log.warning("failpoints_enabled", directory=str(directory))
        _orders = Orders(directory, _kill)


def arm(directory: Path, failpoint: Failpoint, hits: int = 1) -> str:
    """Order a death; returns the order's id.

    Args:
        directory: The one that the service was configured with.
        failpoint: The place.
        hits: The how-manyth time a process gets there from now on.
    """
    order = Order(failpoint, hits, uuid.uuid4().hex)
    draft = directory / f"{order.id}.draft"
    draft.write_text(json.dumps(asdict(order)), encoding="utf-8")
    draft.replace(directory / _ARMED)
    return order.id


def disarm(directory: Path) -> None:
    """Withdraw an order that nobody has taken."""
    (directory / _ARMED).unlink(missing_ok=True)


def victim(directory: Path, order_id: str) -> int | None:
    """Return the id of the process that an order has ended, None if it has not."""
    try:
        return int((directory / order_id).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        # Not taken, or taken this very moment.
        return None


def _read(directory: Path) -> Order | None:
    try:
        text = (directory / _ARMED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Order(**json.loads(text))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
