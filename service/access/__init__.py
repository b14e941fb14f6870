"""Who may call, and how much: API keys, the file they are kept in, and rate limits. No HTTP."""

from service.access.caller import DEFAULT_TENANT, Caller
from service.access.door import Door
from service.access.key_file import KeyFile
from service.access.keyring import Keyring
from service.access.keys import KeyEntry, Scope, new_key
from service.access.meters import Meter, Meters

__all__ = [
    "DEFAULT_TENANT",
    "Caller",
    "Door",
    "KeyEntry",
    "KeyFile",
    "Keyring",
    "Meter",
    "Meters",
    "Scope",
    "new_key",
]
