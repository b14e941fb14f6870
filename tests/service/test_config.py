"""The configuration tree: where values come from, what is refused, and that its keys are frozen."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from models.checkpoints import packaged
from models.config import MemoryRuleName
from models.memory import MEMORY_RULES
from models.variants import variants
from service.config import ModelConfig, ServiceConfig, client_api_key, load_config
from service.config_access import EdgeConfig
from service.config_sessions import SessionsConfig, without_password
from service.errors import ConfigError

KEYS = {
    "host",
    "port",
    "data_dir",
    "gateways",
    "failpoints",
    "models.id",
    "models.attention",
    "models.weights",
    "models.adapter",
    "serve_models",
    "models.memory_rule",
    "models.replicas",
    "engine.step_tokens",
    "engine.queue_tokens",
    "engine.threads",
    "sessions.store",
    "sessions.durability",
    "sessions.ttl_seconds",
    "sessions.max_age_seconds",
    "sessions.tombstone_seconds",
    "sessions.sweep_seconds",
    "sessions.hot_bytes",
    "sessions.kept_answers",
    "sessions.snapshots",
    "sessions.snapshot_every",
    "sessions.index_chunks",
    "sessions.index_bytes",
    "sessions.state_secret_file",
    "sessions.state_token_seconds",
    "limits.body_bytes",
    "limits.import_bytes",
    "limits.body_seconds",
    "limits.texts",
    "limits.chunks",
    "limits.attention_tokens",
    "limits.answer_numbers",
    "log_level",
    "log_salt",
    "auth.keys_file",
    "quotas.requests_per_second",
    "quotas.tokens_per_minute",
    "quotas.open_sessions",
    "edge.allowed_hosts",
    "edge.connections",
    "edge.head_bytes",
    "edge.head_seconds",
    "edge.held_bytes",
    "edge.headers",
    "edge.url_bytes",
    "edge.idle_seconds",
    "edge.linger_seconds",
    "edge.unread_seconds",
}


def write(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def keys(config: BaseModel, prefix: str = "") -> set[str]:
    found = set()
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        inner = value[0] if isinstance(value, tuple) else value
        if isinstance(inner, BaseModel):
            found |= keys(inner, f"{name}.")
        else:
            assert field.description, f"{prefix}{name} has no description"
            found.add(prefix + name)
    return found


def test_the_keys_are_frozen():
    assert keys(ServiceConfig()) == KEYS


def test_every_variant_with_a_card_is_served_by_default():
    config = load_config()
    finished = {name for name in variants() if packaged(name, "md")}
    assert {model.attention for model in config.served} == finished
    assert len(finished) >= 6
    assert all(model.id == model.attention for model in config.served)


@pytest.mark.parametrize("chosen", [("infini", "causal"), "causal, infini,"])
def test_models_can_be_switched_off(chosen: str | tuple[str, ...]):
    config = load_config(serve_models=chosen)
    assert [model.id for model in config.served] == ["infini", "causal"]
    assert len(config.models) == len(load_config().served)


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        (("no", "infini"), "no model is called no; there are multi-head,"),
        ((), "names none"),
        (",", "names none"),
        (7, "serve_models: "),
    ],
)
def test_what_is_served_must_exist(chosen: object, complaint: str):
    with pytest.raises(ConfigError, match=complaint):
        load_config(serve_models=chosen)


def test_command_line_over_environment_over_file(tmp_path: Path, monkeypatch):
    file = write(tmp_path, "port: 1001\nhost: 127.0.0.2\nengine: {step_tokens: 512, threads: 1}")
    monkeypatch.setenv("LONGSTREAM_ENGINE__STEP_TOKENS", "1024")
    monkeypatch.setenv("LONGSTREAM_PORT", "1002")
    config = load_config(file, port=1003, host=None)
    assert (config.port, config.host) == (1003, "127.0.0.2")
    assert (config.engine.step_tokens, config.engine.threads) == (1024, 1)


@pytest.mark.parametrize("rule", MEMORY_RULES)
def test_models_from_a_file(tmp_path: Path, rule: MemoryRuleName):
    file = write(tmp_path, f"models: [{{id: a, attention: infini, memory_rule: {rule}}}]")
    assert load_config(file).models == (ModelConfig(id="a", attention="infini", memory_rule=rule),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot: 1", "prot: there is no such configuration key"),
        ("engine: {theads: 1}", "engine.theads: there is no such"),
        ("port: 70000", "port: .*less than or equal to 65535"),
        ("sessions: {store: memory}", "sessions.store: String should match"),
        ("host: 0.0.0.0", "host '0.0.0.0' is reachable from other machines"),
        ("models: []", "models must be a non-empty list"),
        ("models: [{id: a, attention: infini}, {id: a, attention: infini}]", "distinct ids"),
        ("[]", "top level must be a mapping"),
        ("a: [", "cannot read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(ConfigError, match=complaint):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("store", "backend"),
    [
        ("sqlite", "sqlite"),
        ("sqlite:/data/s.db", "sqlite"),
        ("redis://host:6379/0", "redis"),
        ("rediss://user:secret@host/1", "redis"),
        ("unix:///run/redis.sock?db=1&password=secret", "redis"),
    ],
)
def test_where_sessions_live(store: str, backend: str):
    config = SessionsConfig(store=store)
    assert config.backend == backend
    assert "secret" not in config.shown_store
    assert "user:secret" not in repr(config)


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("rediss://user:secret@host:6380/1", "rediss://user:***@host:6380/1"),
        ("redis://user:s:e/c?r#e[t@x@host/1", "redis://user:***@host/1"),
        ("redis://user:secret@[::1/1", "redis://user:***@[::1/1"),
        ("redis:/user:secret@host", "redis:/user:***@host"),
        ("redis://host?Password=s@c&ssl_password=x&db=1", "redis://host?Password=***&ssl_password=***&db=1"),
        ("unix:///run/r.sock?password=secret", "unix:///run/r.sock?password=***"),
        ("sqlite:/data/a@b.db", "sqlite:/data/a@b.db"),
    ],
)  # fmt: skip
def test_a_password_is_masked_also_where_the_url_cannot_be_read(store: str, shown: str):
    assert without_password(store) == shown


def test_a_file_that_is_not_yaml_is_not_quoted(tmp_path: Path, monkeypatch):
    text = "port: 1\nsessions: {store: redis://user:secret@host/0: }}\n"
    with pytest.raises(ConfigError, match="line 2, column") as caught:
        load_config(write(tmp_path, text))
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("LONGSTREAM_SESSIONS__STORE", "[redis://user:secret@host/0")
    with pytest.raises(ConfigError, match="LONGSTREAM_SESSIONS__STORE: not a YAML value") as caught:
        load_config()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "store", ["redis:", "redis://", "unix://run/redis.sock", "memory", "http://x"]
)
def test_where_sessions_cannot_live(tmp_path: Path, store: str):
    with pytest.raises(ConfigError, match=r"sessions\.store"):
        load_config(write(tmp_path, f"sessions: {{store: '{store}'}}"))


def test_a_life_is_no_longer_than_the_longest(tmp_path: Path):
    with pytest.raises(ConfigError, match="ttl_seconds must not be longer than max_age_seconds"):
        load_config(write(tmp_path, "sessions: {ttl_seconds: 61, max_age_seconds: 60}"))
    assert load_config(write(tmp_path, "sessions: {ttl_seconds: 60}")).sessions.ttl_seconds == 60


def test_an_unknown_variable_is_an_error_too(monkeypatch):
    monkeypatch.setenv("LONGSTREAM_ENGIN__THREADS", "1")
    with pytest.raises(
        ConfigError, match=r"LONGSTREAM_ENGIN__THREADS: there is no .* key engin\.threads"
    ):
        load_config()


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.yaml"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str):
    assert ServiceConfig(host=host).host == host


def test_other_addresses_need_keys(tmp_path: Path):
    host = "0.0.0.0"  # noqa: S104 - what is tested
    with pytest.raises(ConfigError, match=r"longstream keys create.*auth\.keys_file"):
        load_config(host=host)
    file = write(tmp_path, "auth: {keys_file: ~/keys.yaml}\nhost: 0.0.0.0")
    config = load_config(file)
    assert config.host == host
    assert config.auth.keys_file == Path.home() / "keys.yaml"


def test_hosts_are_those_of_this_machine_on_loopback_only():
    edge = ServiceConfig().edge
    local = frozenset({"localhost", "127.0.0.1", "[::1]"})
    assert edge.hosts("127.0.0.1") == local
    assert edge.hosts("::1") == local
    assert edge.hosts("127.8.8.8") == local | {"127.8.8.8"}
    assert edge.hosts("192.0.2.1") is None
    named = EdgeConfig(allowed_hosts=("Text.Example ",))
    # The command itself asks the address it listens on whether it is ready.
    assert named.hosts("192.0.2.1") == local | {"192.0.2.1", "text.example"}
    assert named.hosts("127.0.0.1") == local | {"text.example"}
    assert EdgeConfig(allowed_hosts=("*",)).hosts("127.0.0.1") is None


def test_the_key_of_the_commands_is_no_key_of_the_tree(monkeypatch):
    assert client_api_key() is None
    monkeypatch.setenv("LONGSTREAM_API_KEY", "lsk_abcd_x")
    assert client_api_key() == "lsk_abcd_x"
    assert load_config() == ServiceConfig()


def test_failpoints_are_for_this_machine_alone(tmp_path: Path):
    assert ServiceConfig().failpoints is None
    assert ServiceConfig(failpoints=tmp_path).failpoints == tmp_path
    with pytest.raises(ConfigError, match="failpoints end processes"):
        load_config(write(tmp_path, f"host: 127.0.0.2\nfailpoints: {tmp_path}"))
    with pytest.raises(ConfigError, match="failpoints end processes"):
        load_config(write(tmp_path, f"auth: {{keys_file: keys.yaml}}\nfailpoints: {tmp_path}"))


def test_variables_that_contradict_each_other_are_named(monkeypatch):
    monkeypatch.setenv("LONGSTREAM_PORT", "3")
    monkeypatch.setenv("LONGSTREAM_PORT__X", "1")
    with pytest.raises(ConfigError, match="LONGSTREAM_PORT__X: there is no configuration key"):
        load_config()
    monkeypatch.delenv("LONGSTREAM_PORT__X")
    monkeypatch.setenv("LONGSTREAM_ENGINE", "5")
    monkeypatch.setenv("LONGSTREAM_ENGINE__THREADS", "2")
    assert load_config().engine.threads == 2


def test_a_tilde_is_the_home_directory(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LONGSTREAM_DATA_DIR", "~/kept")
    assert load_config().data_dir == tmp_path / "kept"
