"""What makes sessions of sessions: forks, files. A gateway's, over the same store as its catalog."""

import time
from collections.abc import Callable

from service.sessions.beginnings import Beginnings
from service.sessions.forks import Forks
from service.sessions.lifetimes import FOREVER, Lifetimes
from service.sessions.observer import SessionObserver, SilentObserver
from service.sessions.recovery import Recovery
from service.sessions.stores.base import SessionStore
from service.sessions.transfers import Transfers


class SessionCopies:
    """Forks, exports and imports sessions; needs the store and no model.

    Args:
        store: Where sessions live; open.
        most_bytes: Largest file that is written or read.
        clock: Unix time, seconds.
        observer: Told of `fork`, `export`, `import`, `forget` and `lost`.
        lifetimes: How long sessions live.

    Attributes:
        forks: Begins sessions that share another's past.
        transfers: Writes sessions into files, and begins sessions from them.
    """

    def __init__(
        self,
        store: SessionStore,
        most_bytes: int,
        clock: Callable[[], float] = time.time,
        observer: SessionObserver | None = None,
        lifetimes: Lifetimes = FOREVER,
    ) -> None:
        listener: SessionObserver = observer or SilentObserver()
        recovery = Recovery(store, clock, listener)
        beginnings = Beginnings(store, listener, clock, lifetimes)
        self.forks = Forks(store, recovery, beginnings)
        self.transfers = Transfers(store, listener, recovery, beginnings, most_bytes, clock)
