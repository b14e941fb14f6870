import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from service.errors import ConfigError
from service.sessions.secret_file import SECRET_FILE, load_secret


def test_it_is_made_once_and_for_its_owner_alone(tmp_path):
    folder = tmp_path / "data"
    secret = load_secret(None, folder)
    assert len(secret) == 64
    assert load_secret(None, folder) == secret
    assert stat.S_IMODE((folder / SECRET_FILE).stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == [SECRET_FILE]
    assert load_secret(None, tmp_path / "other") != secret


def test_gateways_that_start_together_have_one(tmp_path):
    together = threading.Barrier(6)

    def load(_):
        together.wait(timeout=30)
        return load_secret(None, tmp_path / "data")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(load, range(6)))) == 1


def test_a_configured_one_is_read_and_never_made(tmp_path):
    path = tmp_path / "secret"
    with pytest.raises(ConfigError, match="secret"):
        load_secret(path, tmp_path)
    assert not path.exists()
    path.write_bytes(b"  " + b"x" * 32 + b"\n")
    assert load_secret(path, tmp_path) == b"x" * 32


def test_one_that_can_be_guessed_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_text("too short\n")
    with pytest.raises(ConfigError, match="9 bytes"):
        load_secret(path, tmp_path)


def test_a_secret_of_this_machine_alone_is_worth_a_warning_where_the_store_is_shared(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"x" * 32)
    with capture_logs() as logs:
        load_secret(None, tmp_path)
        load_secret(path, tmp_path, shared_store=True)
        assert logs == []
        secret = load_secret(None, tmp_path, shared_store=True)
    [warning] = logs
    assert (warning["log_level"], warning["event"]) == ("warning", "state_secret_not_shared")
    assert "sessions.state_secret_file" in warning["hint"]
    assert secret.decode() not in str(warning)
