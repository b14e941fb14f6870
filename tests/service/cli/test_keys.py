"""`longstream keys`, in this process."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.access import DEFAULT_TENANT, KeyEntry, KeyFile
from service.access.keys import opens, split_key
from service.cli import app
from service.config_access import RateLimits
from service.errors import ConfigError

RUNNER = CliRunner()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def invoke(*arguments: str) -> Result:
    result = RUNNER.invoke(app, ["keys", *arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return result


def create(file: Path, *options: str) -> tuple[str, KeyEntry]:
    result = invoke("create", "--file", str(file), *options)
    assert result.exit_code == 0, result.output
    key = result.stdout.strip()
    return key, next(e for e in KeyFile(file).read() if e.id == split_key(key)[0])


def test_a_key_is_shown_once_and_alone(file: Path) -> None:
    key, entry = create(file)
    assert opens(split_key(key)[1], entry)
    assert entry.tenant == DEFAULT_TENANT
    assert entry.expires is None
    assert entry.created is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = split_key(key)[1]
    assert secret not in file.read_text()
    listed = invoke("list", "--file", str(file))
    assert entry.id in listed.stdout
    assert secret not in listed.stdout


def test_everything_can_be_said(file: Path) -> None:
    options = ["--tenant", "acme", "--metrics", "--expires", "2031-02-03"]
    limits = ["--requests-per-second", "2.5", "--tokens-per-minute", "6", "--open-sessions", "7"]
    _, entry = create(file, *options, *limits)
    assert (entry.tenant, entry.scope) == ("acme", "metrics")
    assert str(entry.expires) == "2031-02-03 00:00:00+00:00"
    assert entry.limits == RateLimits(requests_per_second=2.5, tokens_per_minute=6, open_sessions=7)
    shown = invoke("list", "--file", str(file)).stdout
    for part in ("acme", "metrics", "usable", "2031-02-03", "requests_per_second=2.5"):
        assert part in shown


def test_keys_are_revoked_one_by_one(file: Path) -> None:
    ids = [create(file)[1].id for _ in range(3)]
    assert invoke("revoke", ids[1], "--file", str(file)).exit_code == 0
    assert [entry.disabled for entry in KeyFile(file).read()] == [False, True, False]
    assert "disabled" in invoke("list", "--file", str(file)).stdout
    invoke("revoke", ids[1], "--forget", "--file", str(file))
    assert [entry.id for entry in KeyFile(file).read()] == [ids[0], ids[2]]
    with pytest.raises(ConfigError, match=f"there is no key {ids[1]}"):
        invoke("revoke", ids[1], "--file", str(file))


def test_the_file_may_come_from_the_configuration(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="--file, or set auth"):
        invoke("create")
    config = tmp_path / "config.yaml"
    config.write_text(f"auth: {{keys_file: {file}}}")
    invoke("create", "--config", str(config))
    monkeypatch.setenv("LONGSTREAM_AUTH__KEYS_FILE", str(file))
    invoke("create")
    assert len(KeyFile(file).read()) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--tenant", "a/b"], "tenant: String should match"),
        (["--requests-per-second", "0"], "requests_per_second: Input should be greater"),
        (["--open-sessions", "-1"], "open_sessions: "),
    ],
)
def test_what_is_wrong_is_named(file: Path, options: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        invoke("create", "--file", str(file), *options)
    assert not file.exists()


def test_keys_that_do_not_exist_are_not_revoked(file: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        invoke("revoke", "abcd", "--file", str(file))
    assert not file.exists()
