"""The file of API keys: YAML or JSON, without secrets, replaced as a whole."""

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import ValidationError, model_validator

from service.access.keys import KeyEntry
from service.config_access import FrozenSection
from service.errors import ConfigError

MODE: Final = 0o600
_LARGEST_BYTES: Final = 16 * 1024**2
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Signature = tuple[int, int, int]
"""What changes with a file: time of change, inode, size."""


class _Document(FrozenSection):
    version: Literal[1] = 1
    keys: tuple[KeyEntry, ...] = ()

    @model_validator(mode="after")
    def _check_ids(self) -> "_Document":
        ids = [entry.id for entry in self.keys]
        if len(set(ids)) < len(ids):
            raise ValueError("two keys have the same id")
        return self


class KeyFile:
    """A file of API keys.

    Args:
        path: Where it is; JSON if its suffix is `.json`, else YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def signature(self) -> Signature:
        """Return what tells whether the file has changed; raises `OSError` if there is none."""
        found = self.path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> tuple[KeyEntry, ...]:
        """Return all keys, those that are refused included.

        Raises:
            ConfigError: the file is missing, may be written by everyone, or is not what it should be.
        """
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                    raise ConfigError(
                        f"{self.path}: everyone may write it; use `chmod 600 {self.path}`"
                    )
                text = file.read(_LARGEST_BYTES + 1)
            if len(text) > _LARGEST_BYTES:
                raise ConfigError(f"{self.path}: larger than {_LARGEST_BYTES} bytes")
            tree = json.loads(text) if self._is_json else yaml.load(text, _Loader)  # noqa: S506 - safe
            document = _Document.model_validate({} if tree is None else tree)
        except FileNotFoundError as error:
            raise ConfigError(
                f"{self.path}: there is no such file of API keys; `longstream keys create` makes one"
            ) from error
        except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(
                f"cannot read the API keys in {self.path}: {_reason(error)}"
            ) from error
        return document.keys

    @contextlib.contextmanager
    def changing(self) -> Iterator[list[KeyEntry]]:
        """Give the keys to be changed, and write them when the block ends; one process at a time.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        with self._locked():
            entries = list(self.read()) if self.path.exists() else []
            yield entries
            self._write(entries)

    @property
    def _is_json(self) -> bool:
        return self.path.suffix == ".json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out: of the folder, as the file itself is another one after each change."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, entries: Sequence[KeyEntry]) -> None:
        tree = _Document(keys=tuple(entries)).model_dump(mode="json", exclude_defaults=True)
        tree = {"version": 1, "keys": tree.get("keys", [])}
        text = (
            json.dumps(tree, indent=1) if self._is_json else yaml.safe_dump(tree, sort_keys=False)
        )
        try:
            _replace(self.path, text)
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    """Put a text into the place of a file, durably: a reader finds the old one or the new one."""
    # mkstemp makes a file that only this account may read, whatever the umask.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}".removeprefix(": ")
    return " ".join(str(error).split())
