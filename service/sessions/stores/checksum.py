"""Checksums of stored rows: what any single flipped bit, and any burst of up to 32, must change."""

import hashlib
import zlib

Value = str | bytes | int | float | None
"""What a column holds."""


def checksum(*values: Value) -> int:
    """Return the CRC-32 over values in order, their types and their lengths.

    A name that a row is found by belongs into it: a row that turns up under another name then does not verify.
    """
    crc = 0
    for value in values:
        # A damaged text need not be UTF-8; it is read with `surrogateescape`.
        data = (
            value
            if isinstance(value, bytes)
            else f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass")
        )
        crc = zlib.crc32(data, zlib.crc32(len(data).to_bytes(8, "little"), crc))
    return crc


def name_digest(tenant: str, session_id: str) -> bytes:
    """Return a second name of a session, 16 bytes, by which it is found should a bit of the first have flipped."""
    owner = tenant.encode()
    name = len(owner).to_bytes(4, "little") + owner + session_id.encode()
    return hashlib.sha256(name).digest()[:16]


def mirrored(key: str) -> str:
    """Return the second name of an idempotency key.

    A key that is not found lets its request be applied once more. So each stands under two names, of which one flipped
    bit spoils only one. Clients' keys have no spaces.
    """
    return f" {key}"
