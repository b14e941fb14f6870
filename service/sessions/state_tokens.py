"""Sessions whose state the client keeps: a token that says everything, signed, so that nobody can make one up.

A token is `ls1.` and base64url, without padding, of

    mac      32 bytes  HMAC-SHA256, with the server's secret, over purpose, tenant and all that follows
    header   u16 + n   length and a JSON object: model, fingerprint, next_seq, expires
    state    the rest  as `service.sessions.codec` writes it

The tenant stands in what is signed and not in the token: another tenant's token is one that does not verify.
"""

import base64
import binascii
import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.errors import Unprocessable

_PREFIX: Final = "ls1."
_PURPOSE: Final = b"longstream state token 1\0"
_MAC_BYTES: Final = 32
_LENGTH: Final = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class TokenState:
    """What a token says.

    Attributes:
        model: Id of the model that reads the document.
        fingerprint: Its fingerprint when the document was begun.
        next_seq: Chunks read so far.
        state: What has been read, encoded.
    """

    model: str
    fingerprint: str
    next_seq: int
    state: bytes


@dataclass(frozen=True, slots=True)
class StateToken:
    """A token as it is handed out.

    Attributes:
        text: The token.
        expires_at: Unix time, seconds, from which it is refused.
    """

    text: str
    expires_at: int


class StateTokens:
    """Signs and verifies state tokens.

    Args:
        secret: The server's; at least 32 bytes, the same in all gateways.
        seconds: How long a token is accepted.
        clock: Unix time, seconds.
    """

    def __init__(self, secret: bytes, seconds: int, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._seconds = seconds
        self._clock = clock

    def issue(self, tenant: str, content: TokenState) -> StateToken:
        """Return a token for a tenant; it is accepted from now on."""
        expires_at = int(self._clock()) + self._seconds
        header = json.dumps(
            [content.model, content.fingerprint, content.next_seq, expires_at]
        ).encode()
        body = _LENGTH.pack(len(header)) + header + content.state
        signed = self._mac(tenant, body) + body
        text = base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")
        return StateToken(_PREFIX + text, expires_at)

    def read(self, tenant: str, token: str) -> TokenState:
        """Return what a token says; nothing of it is looked at before its signature holds.

        Raises:
            Unprocessable: `invalid_state_token`: not one of this service's for this tenant, or it is too old.
        """
        signed = _decoded(token)
        mac, body = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(tenant, body)):
            raise _invalid("it was not issued by this service for you, or it was changed")
        (length,) = _LENGTH.unpack_from(body)
        end = _LENGTH.size + length
        model, fingerprint, next_seq, expires_at = json.loads(body[_LENGTH.size : end])
        if expires_at <= self._clock():
            raise _invalid(
                f"it expired; one is good for {self._seconds} seconds (sessions.state_token_seconds)"
            )
        return TokenState(model, fingerprint, next_seq, body[end:])

    def _mac(self, tenant: str, body: bytes) -> bytes:
        owner = tenant.encode()
        mac = hmac.new(self._secret, _PURPOSE, hashlib.sha256)
        # With its length, so that no tenant's name can run into what follows it.
        mac.update(struct.pack("<I", len(owner)) + owner)
        mac.update(body)
        return mac.digest()


def _decoded(token: str) -> bytes:
    try:
        raw = token.removeprefix(_PREFIX).encode("ascii")
        padded = raw.translate(_STANDARD) + b"=" * (-len(raw) % 4)
        signed = base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("it is no token") from error
    if not token.startswith(_PREFIX) or len(signed) < _MAC_BYTES:
        raise _invalid("it is no token")
    return signed


_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
"""base64url as base64; what is no letter of the first stays none."""


def _invalid(reason: str) -> Unprocessable:
    return Unprocessable(
        "invalid_state_token",
        f"the state token is not accepted: {reason}; begin the document again with stateless: true",
        "state_token",
    )
