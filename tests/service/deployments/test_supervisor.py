from pathlib import Path

import pytest

from service.config import ServiceConfig
from service.config_sessions import SessionsConfig
from service.deployments.supervisor import session_place


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("sqlite", "/data/sessions.sqlite3"),
        ("sqlite:/elsewhere/my.db", "/elsewhere/my.db"),
        ("sqlite:~/my.db", "/home/me/my.db"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://me:secret@host:6379/0", "redis://me:***@host:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_the_sessions_are_said_to_be_where_they_are(
    store: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = ServiceConfig(data_dir=Path("/data"), sessions=SessionsConfig(store=store))
    assert session_place(config) == expected


def test_a_relative_path_is_said_in_full() -> None:
    config = ServiceConfig(sessions=SessionsConfig(store="sqlite:my.db"))
    assert session_place(config) == str(Path.cwd() / "my.db")
