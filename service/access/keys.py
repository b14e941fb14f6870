"""API keys: `lsk_<id>_<secret>`. The id is public; of the secret only its SHA-256 is ever kept.

A secret has 256 random bits, so nobody finds it by guessing and a slow password hash would only cost.
"""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AwareDatetime, BeforeValidator, Field

from service.config_access import FrozenSection, RateLimits

PREFIX: Final = "lsk"
TENANT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(rf"{PREFIX}_(?P<id>[a-z0-9]{{4,32}})_(?P<secret>[A-Za-z0-9_-]{{43}})")
_NO_KEY: Final = ("", "")
_NO_DIGEST: Final = hashlib.sha256(secrets.token_bytes(_SECRET_BYTES)).hexdigest()
"""Compared with where there is no key of an id, so that time does not tell which ids exist."""

Scope: TypeAlias = Literal["api", "metrics"]
"""What a key opens: all routes, or only the metrics and the page that shows them."""


def _as_moment(value: Any) -> Any:
    """Take a plain date for its first moment, UTC."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_as_moment)]


class KeyEntry(FrozenSection):
    """What is kept of one API key."""

    id: str = Field(pattern=r"^[a-z0-9]{4,32}$")
    """Its public part, unique in its file."""
    tenant: str = Field(pattern=TENANT_PATTERN)
    """Whose sessions it opens."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of its secret, hexadecimal."""
    scope: Scope = "api"
    """`api` for every route, `metrics` for `/metrics` and its page only."""
    created: Moment | None = None
    """When it was made."""
    expires: Moment | None = None
    """From when on it is refused; default: never."""
    disabled: bool = False
    """Whether it is refused."""
    limits: RateLimits = RateLimits()
    """Limits of its own, which go before `quotas` of the configuration."""

    def usable(self, now: datetime) -> bool:
        """Tell whether the key is accepted at a moment."""
        return not self.disabled and (self.expires is None or now < self.expires)


def new_key(
    tenant: str, scope: Scope, expires: datetime | None, limits: RateLimits, now: datetime
) -> tuple[KeyEntry, str]:
    """Make a key.

    Returns:
        What is to be kept of it, and the key itself, which is to be shown once.
    """
    key_id = secrets.token_hex(_ID_BYTES)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    entry = KeyEntry(
        id=key_id,
        tenant=tenant,
        digest=_digest(secret),
        scope=scope,
        created=now,
        expires=expires,
        limits=limits,
    )
    return entry, f"{PREFIX}_{key_id}_{secret}"


def split_key(key: str) -> tuple[str, str]:
    """Return id and secret; what is no key has an id that no key has."""
    found = _KEY.fullmatch(key)
    return _NO_KEY if found is None else (found["id"], found["secret"])


def opens(secret: str, entry: KeyEntry | None) -> bool:
    """Tell whether a secret is the one of an entry, in a time that does not tell whether there is an entry."""
    kept = _NO_DIGEST if entry is None else entry.digest
    same = hmac.compare_digest(_digest(secret), kept)
    return same and entry is not None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
