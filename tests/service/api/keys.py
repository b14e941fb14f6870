"""API keys for tests of the HTTP layer."""

from datetime import UTC, datetime
from pathlib import Path

from service.access import Door, KeyFile, Keyring, Scope, new_key
from service.config_access import RateLimits


class Keys:
    """A file of keys and the door it locks."""

    def __init__(self, folder: Path) -> None:
        self.file = KeyFile(folder / "keys.yaml")
        self.file.path.write_text("")

    def add(
        self,
        tenant: str,
        limits: RateLimits | None = None,
        scope: Scope = "api",
        expires: datetime | None = None,
    ) -> str:
        """Make a key of a tenant."""
        entry, key = new_key(tenant, scope, expires, limits or RateLimits(), datetime.now(UTC))
        with self.file.changing() as entries:
            entries.append(entry)
        return key

    def door(self) -> Door:
        """Return a door that knows the keys made so far."""
        return Door(Keyring(self.file))


def bearer(key: str) -> dict[str, str]:
    """Return the header that shows a key."""
    return {"authorization": f"Bearer {key}"}
