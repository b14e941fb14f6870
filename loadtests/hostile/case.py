"""One hostile request as data."""

from dataclasses import dataclass
from typing import Final

CLOSED: Final = 0
"""In the place of a status: the connection was closed without an answer."""
HOST: Final = b"@HOST@"
AUTH: Final = b"@AUTH@"
SESSION: Final = b"@SESSION@"
REFUSED: Final = frozenset(
    {400, 403, 404, 405, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 428, 431}
)
"""What a client's own fault is answered with."""
JSON: Final = b"content-type: application/json"
EMBEDDINGS: Final = b"/v1/embeddings"
VALID: Final = b'{"model":"infini","input":"a word"}'


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes for one connection, and how they may be answered.

    Attributes:
        name: What is tried.
        parts: Written one after the other. `@HOST@`, `@AUTH@` (a whole line, or nothing) and `@SESSION@` are filled in.
        statuses: What each answer may be; `CLOSED` allows none at all.
        answers: Most answers there may be.
        incomplete: Whether the request never ends; the sender then says that nothing more will come.
    """

    name: str
    parts: tuple[bytes, ...]
    statuses: frozenset[int]
    answers: int = 1
    incomplete: bool = False


def head(method: bytes, path: bytes, *headers: bytes, close: bool = True) -> bytes:
    """Return the head of a request that is right but for what the arguments make of it."""
    lines = [method + b" " + path + b" HTTP/1.1", b"host: " + HOST]
    lines += [*headers, b"connection: close"] if close else headers
    return b"\r\n".join(lines) + b"\r\n" + AUTH + b"\r\n"


def get(path: bytes, *headers: bytes) -> bytes:
    """Return a request without a body."""
    return head(b"GET", path, *headers)


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    """Return a request with a body of its right length; JSON unless a type is among the headers."""
    typed = any(line.lower().startswith(b"content-type") for line in headers)
    kind = () if typed else (JSON,)
    return head(b"POST", path, b"content-length: %d" % len(body), *kind, *headers) + body


def chunked(*pieces: bytes) -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def cases(
    statuses: frozenset[int], requests: dict[str, bytes], *, answers: int = 1
) -> tuple[Case, ...]:
    """Return one case for each of several requests that deserve the same."""
    return tuple(Case(name, (request,), statuses, answers) for name, request in requests.items())
