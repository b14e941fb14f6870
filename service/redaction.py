"""What may stand in a log in the place of what may not.

Text, vectors, keys and session ids never do. A session is named by a keyed hash of its id: lines about one session
can be found together, and nobody can try ids until the hash fits.
"""

import hashlib
import secrets
import traceback
from types import TracebackType
from typing import Final

import yaml

_HASH_BYTES: Final = 8
_salt = secrets.token_bytes(32)


def use_salt(salt: str) -> None:
    """Make this process name sessions as all others with the same salt do."""
    global _salt  # noqa: PLW0603 - one per process, like the log itself
    _salt = hashlib.sha256(salt.encode()).digest()


def session_hash(session_id: str) -> str:
    """Return the name of a session in logs."""
    data = session_id.encode(errors="surrogatepass")
    return hashlib.blake2b(data, key=_salt, digest_size=_HASH_BYTES).hexdigest()


def bare_trace(
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> str:
    """Return where an exception was raised and of what type, without its message, which may quote a text.

    Args:
        kind: Its type.
        error: The exception; what caused it is told likewise.
        trace: Its traceback.
    """
    lines = [] if error is None else _causes(error)
    lines += ["Traceback (most recent call last):\n", *traceback.format_tb(trace)]
    return "".join([*lines, _name(kind, error)])


def bare_yaml_error(error: Exception) -> str:
    """Return what is wrong with a YAML text and where, without the line that PyYAML quotes: it may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it is not YAML" if isinstance(error, yaml.YAMLError) else str(error)
    mark = error.problem_mark
    return f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}"


def _causes(error: BaseException) -> list[str]:
    lines: list[str] = []
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        told = ["Traceback (most recent call last):\n", *traceback.format_tb(cause.__traceback__)]
        lines = [*told, _name(type(cause), cause), "\n\nand then\n\n", *lines]
        cause = cause.__cause__ or cause.__context__
    return lines


def _name(kind: type[BaseException] | None, error: BaseException | None) -> str:
    name = "unknown" if kind is None else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, OSError) and error.strerror and isinstance(error.errno, int):
        # The system's own words, which know of numbers only.
        return f"{name}: [Errno {error.errno}] {error.strerror}"
    return name
