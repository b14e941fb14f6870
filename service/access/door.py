"""What a gateway asks about each request: who is it, and is it too much?"""

from service.access.caller import Caller
from service.access.key_file import KeyFile
from service.access.keyring import Keyring
from service.access.meters import Meters
from service.config_access import AuthConfig, RateLimits, is_loopback
from service.errors import ConfigError


class Door:
    """Lets callers in.

    Args:
        keyring: The keys; None lets everyone in as the default tenant.
        quotas: Limits of callers whose key has none of its own.
    """

    def __init__(self, keyring: Keyring | None = None, quotas: RateLimits | None = None) -> None:
        self._keyring = keyring
        self._anyone = Caller(limits=quotas or RateLimits())
        self.meters = Meters()

    async def caller(self, key: str | None) -> Caller | None:
        """Return who shows a key, None if it opens nothing."""
        return self._anyone if self._keyring is None else await self._keyring.caller(key)


def open_door(auth: AuthConfig, quotas: RateLimits, host: str) -> Door:
    """Return the door that a configuration describes.

    Args:
        auth: Where the keys are.
        quotas: Limits of callers whose key has none of its own.
        host: Address the service listens on.

    Raises:
        ConfigError: the keys cannot be read, or nobody could come in.
    """
    if auth.keys_file is None:
        if not is_loopback(host):
            raise ConfigError(f"host {host!r} needs API keys: set auth.keys_file")
        return Door(quotas=quotas)
    keyring = Keyring(KeyFile(auth.keys_file), quotas)
    if not keyring.usable():
        raise ConfigError(
            f"auth.keys_file: no key in {auth.keys_file} opens the API now; "
            "`longstream keys create` makes one"
        )
    return Door(keyring, quotas)
