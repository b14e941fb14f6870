"""The foreground process of `longstream serve`: starts the driver, watches it, and cleans up after it.

It stays small and apart from Ray on purpose. Ray's daemons end with the driver only if the driver ends
in an orderly way; two of its agents otherwise live on for a minute. As their foster parent this process
can end them however the driver died, and if this process is the one that is killed, the driver stops as
if it had been asked to.
"""

import contextlib
import http.client
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from service.access.door import open_door
from service.config import ServiceConfig
from service.deployments.address import base_url, claim_port
from service.deployments.environment import driver_environment
from service.deployments.processes import adopt_orphans, descendants, end_descendants
from service.deployments.runs import Run
from service.errors import ConfigError
from service.sessions.stores import SQLITE_FILE

TICK_SECONDS = 0.2
WATCH_SECONDS = 2.0
PROGRESS_SECONDS = 5.0
STOP_SECONDS = 45.0
"""Longest orderly stop: 20 s for running requests, the rest for Ray."""

Say = Callable[[str], None]


def supervise(config: ServiceConfig, address: str | None, say: Say) -> int:
    """Run the service until it is told to stop.

    Args:
        config: The resolved configuration.
        address: Ray cluster to join; None starts one.
        say: Where lines for the user go.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the service could not start or broke down.

    Raises:
        ConfigError: the port, the data directory, the run directory or the API keys cannot be used.
    """
    open_door(config.auth, config.quotas, config.host)
    claim, port = claim_port(config.host, config.port)
    with contextlib.closing(claim):
        salt = config.log_salt or secrets.token_hex(16)
        config = config.model_copy(update={"port": port, "log_salt": salt})
        _make_data_dir(config)
        run = Run.begin()
        adopt_orphans()
        supervisor = _Supervisor(config, run, say)
        try:
            with _signals(supervisor):
                return supervisor.run(address)
        finally:
            end_descendants()
            run.close()


class _Supervisor:
    def __init__(self, config: ServiceConfig, run: Run, say: Say) -> None:
        self._config = config
        self._run = run
        self._say = say
        self._started = time.monotonic()
        self._driver: subprocess.Popen[bytes] | None = None
        self._stops = 0

    def ask_to_stop(self) -> None:
        """Note one more request to stop; the first is passed on, the second ends everything at once."""
        self._stops += 1
        if self._stops == 1:
            self._stop_driver()

    def run(self, address: str | None) -> int:
        """Start the driver and return what the command exits with."""
        where = "Ray at " + address if address else "a local Ray"
        models = ", ".join(model.id for model in self._config.served)
        self._say(f"longstream: starting {where} and loading {models}")
        if self._config.failpoints is not None:
            self._say(
                f"longstream: FAILPOINTS are on: {self._config.failpoints} may end any process"
            )
        self._driver = self._start_driver(address)
        if self._stops:
            self._stop_driver()
        if self._wait_until_ready():
            url = base_url(self._config.host, self._config.port)
            self._say(f"longstream: ready after {self._elapsed:.1f} s")
            self._say(f"  API      {url}/v1")
            self._say(f"  schema   {url}/openapi.json")
            self._say(f"  metrics  {url}/metrics")
            self._say(f"  sessions {session_place(self._config)}")
            self._say("Ctrl-C stops it.")
            self._wait_while(lambda: not self._stops)
        return self._finish()

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _start_driver(self, address: str | None) -> subprocess.Popen[bytes]:
        order = {
            "config": self._config.model_dump(mode="json"),
            "directory": str(self._run.directory),
            "address": address,
        }
        driver = subprocess.Popen(
            # -P: a folder named `service` where the command is called must not be imported instead.
            [sys.executable, "-P", "-m", "service.deployments.driver"],
            stdin=subprocess.PIPE,
            env=driver_environment(self._config, own_cluster=address is None),
            # Ctrl-C in a terminal reaches every process of the group; Ray's must hear of it in order.
            start_new_session=True,
            umask=0o077,
        )
        if driver.stdin is not None:
            # A driver that died before it read says why on stderr.
            with contextlib.suppress(BrokenPipeError):
                driver.stdin.write(json.dumps(order).encode() + b"\n")
                driver.stdin.flush()
        return driver

    def _stop_driver(self) -> None:
        """Close the pipe the driver watches: the kernel does the same if this process is killed."""
        if self._driver is not None and self._driver.stdin is not None:
            self._driver.stdin.close()

    def _wait_until_ready(self) -> bool:
        """Wait until the service answers; False if it ended or was asked to stop before."""
        said = self._elapsed
        state = "Ray is starting"
        for _ in self._ticks():
            if self._stops:
                return False
            reason = not_ready(self._config.host, self._config.port)
            if reason is None:
                return True
            state = reason or state
            # The driver may have ended during the question, with a last word of its own.
            if self._elapsed - said >= PROGRESS_SECONDS and self._driver_lives():
                said = self._elapsed
                self._say(f"longstream: {said:.0f} s: {state}")
        return False

    def _wait_while(self, going_on: Callable[[], bool]) -> None:
        for _ in self._ticks():
            if not going_on():
                return

    def _ticks(self) -> Iterator[None]:
        """Come back again and again while the driver lives, keeping the record of processes up to date."""
        looked = 0.0
        while self._driver_lives():
            if time.monotonic() - looked >= WATCH_SECONDS:
                self._run.record(descendants())
                looked = time.monotonic()
            yield
            time.sleep(TICK_SECONDS)

    def _driver_lives(self) -> bool:
        return self._driver is not None and self._driver.poll() is None

    def _finish(self) -> int:
        """Wait for the driver's orderly end if it was asked for one, and judge how it ended."""
        if self._stops:
            self._say("longstream: finishing running requests (Ctrl-C again ends at once)")
        deadline = time.monotonic() + STOP_SECONDS
        self._wait_while(lambda: self._stops == 1 and time.monotonic() < deadline)
        code = None if self._driver is None else self._driver.poll()
        if self._stops == 0 and code is not None and code < 0:
            self._say(f"longstream: broke down: its driver was ended by signal {-code}")
        elif self._stops == 1 and code is None:
            self._say(f"longstream: not stopped after {STOP_SECONDS:.0f} s, ending it")
        elif self._stops:
            self._say("longstream: stopped")
        return 0 if self._stops and code == 0 else 1


def session_place(config: ServiceConfig) -> str:
    """Return where the sessions are: the absolute path of a file, or a server's URL without its password."""
    sessions = config.sessions
    if sessions.backend != "sqlite":
        return sessions.shown_store
    _, _, path = sessions.store.partition(":")
    return str((Path(path).expanduser() if path else config.data_dir / SQLITE_FILE).absolute())


def not_ready(host: str, port: int) -> str | None:
    """Ask a service whether it is ready.

    Returns:
        None if it is; else what it says of itself, empty if it does not listen yet.
    """
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return None if response.status == http.client.OK else _what_is_missing(body)


def _what_is_missing(body: bytes) -> str:
    """Read a readiness problem document; its detail names the models that do not answer."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["detail"])
    return "not ready"


def _make_data_dir(config: ServiceConfig) -> None:
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data_dir: cannot create {config.data_dir}: {error.strerror}") from error


@contextlib.contextmanager
def _signals(supervisor: _Supervisor) -> Iterator[None]:
    """Pass SIGTERM and SIGINT on to the supervisor."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        supervisor.ask_to_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
