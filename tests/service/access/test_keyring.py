from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.access import Caller, Door, KeyFile, Keyring
from service.access.door import open_door
from service.access.keyring import LOOK_SECONDS
from service.access.keys import KeyEntry, Scope, new_key
from service.config_access import AuthConfig, RateLimits
from service.errors import ConfigError
from tests.service.access.clock import EPOCH, Clock

DEFAULTS = RateLimits(requests_per_second=10, open_sessions=3)


class Ring:
    def __init__(self, folder: Path) -> None:
        self.file = KeyFile(folder / "keys.yaml")
        self.clock = Clock()
        self.key = self.add("acme")
        self.keyring = Keyring(self.file, DEFAULTS, self.clock.now, self.clock)

    def add(
        self, tenant: str, limits: RateLimits | None = None, scope: Scope = "api", **changes: object
    ) -> str:
        entry, key = new_key(tenant, scope, None, limits or RateLimits(), EPOCH)
        with self.file.changing() as entries:
            entries.append(entry.model_copy(update=changes))
        return key

    def change(self, **changes: object) -> None:
        with self.file.changing() as entries:
            entries[0] = KeyEntry.model_validate({**entries[0].model_dump(), **changes})

    def later(self) -> None:
        self.clock.seconds += LOOK_SECONDS

    async def tenant(self, key: str | None) -> str | None:
        caller = await self.keyring.caller(key)
        return None if caller is None else caller.tenant


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path)


async def test_a_key_is_its_tenant(ring: Ring):
    caller = await ring.keyring.caller(ring.key)
    assert caller == Caller("acme", ring.key.split("_")[1], "api", DEFAULTS)


async def test_what_opens_nothing(ring: Ring):
    other_secret = ring.key[:-1] + ("x" if ring.key[-1] != "x" else "y")
    other_id = "lsk_00000000_" + ring.key.split("_", 2)[2]
    for key in (None, "", "x", other_secret, other_id, f" {ring.key}", ring.key.upper()):
        assert await ring.tenant(key) is None, key


async def test_keys_are_rotated_while_it_runs(ring: Ring):
    second = ring.add("acme")
    assert await ring.tenant(second) is None, "it looks once a second"
    ring.later()
    assert await ring.tenant(second) == "acme"
    assert await ring.tenant(ring.key) == "acme"
    ring.change(disabled=True)
    ring.later()
    assert await ring.tenant(ring.key) is None
    assert await ring.tenant(second) == "acme"


async def test_a_key_expires_by_itself(ring: Ring):
    ring.change(expires=EPOCH.replace(minute=1))
    ring.later()
    assert await ring.tenant(ring.key) == "acme"
    ring.clock.seconds = 60
    assert await ring.tenant(ring.key) is None


@pytest.mark.parametrize("text", ["keys: [", None])
async def test_a_slip_of_the_pen_locks_nobody_out(ring: Ring, text: str | None):
    if text is None:
        ring.file.path.unlink()
    else:
        ring.file.path.write_text(text)
    ring.later()
    with capture_logs() as logs:
        assert await ring.tenant(ring.key) == "acme"
        ring.later()
        assert await ring.tenant(ring.key) == "acme"
    assert [line["event"] for line in logs] == ["keys_unreadable"], "it complains once"
    assert ring.key.split("_", 2)[2] not in str(logs)


async def test_limits_of_a_key_go_before_the_configured(ring: Ring):
    key = ring.add("other", RateLimits(requests_per_second=1))
    ring.later()
    caller = await ring.keyring.caller(key)
    assert caller is not None
    assert caller.limits == RateLimits(requests_per_second=1, open_sessions=3)


async def test_without_keys_everyone_is_the_default_tenant():
    door = Door(quotas=DEFAULTS)
    assert await door.caller(None) == Caller("public", None, "api", DEFAULTS)
    assert await door.caller("nonsense") == await door.caller(None)


async def test_a_door_nobody_could_open_is_refused(ring: Ring):
    auth = AuthConfig(keys_file=ring.file.path)
    door = open_door(auth, RateLimits(), "0.0.0.0")  # noqa: S104 - what is tested
    assert await door.caller(None) is None
    ring.change(disabled=True)
    ring.add("acme", scope="metrics")
    with pytest.raises(ConfigError, match=r"no key in .* opens the API now"):
        open_door(auth, RateLimits(), "127.0.0.1")
    with pytest.raises(ConfigError, match="there is no such file"):
        open_door(AuthConfig(keys_file=ring.file.path.parent / "none"), RateLimits(), "127.0.0.1")
    with pytest.raises(ConfigError, match="needs API keys"):
        open_door(AuthConfig(), RateLimits(), "192.0.2.1")
