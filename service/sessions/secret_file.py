"""The secret that signs state tokens: in a file for this user alone, made once."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from service.errors import ConfigError

log = structlog.get_logger(__name__)

SECRET_FILE: Final = "state-secret"  # noqa: S105 - a name
"""Name of the file in the data directory where the configuration names none."""
LEAST_BYTES: Final = 32


def load_secret(configured: Path | None, data_dir: Path, *, shared_store: bool = False) -> bytes:
    """Return the secret; the default file is made if it is missing, a configured one must be there.

    Args:
        configured: The file that the configuration names, if it does.
        data_dir: Where the default file is.
        shared_store: Whether services on other machines may have the same sessions; of each one's own secret the log
            says that the others refuse its state tokens.

    Raises:
        ConfigError: the file cannot be read or made, or holds too little.
    """
    path = data_dir / SECRET_FILE if configured is None else configured.expanduser()
    try:
        if configured is None and not path.exists():
            _create(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"sessions.state_secret_file: {path}: {error}") from error
    if configured is None and shared_store:
        log.warning(
            "state_secret_not_shared",
            path=str(path),
            hint="services on other machines with this sessions.store refuse this one's state tokens: "
            "give all of them the same sessions.state_secret_file",
        )
    if len(secret) < LEAST_BYTES:
        raise ConfigError(
            f"sessions.state_secret_file: {path} has {len(secret)} bytes; a secret has at least {LEAST_BYTES}"
        )
    return secret


def _create(path: Path) -> None:
    """Write it beside its place and link it there: of gateways that start together none reads half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(LEAST_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # If another process was faster, its file stands.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
