"""The one typed configuration tree, from defaults, a YAML file and `LONGSTREAM_*` variables.

Precedence: command line over environment over file over defaults. Nested keys join with two
underscores: `LONGSTREAM_ENGINE__STEP_TOKENS=4096`. Unknown keys are errors wherever they come from.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from models.config import DEFAULT_WEIGHTS, MemoryRuleName
from service.config_access import AuthConfig, EdgeConfig, RateLimits, is_loopback
from service.config_access import FrozenSection as _Frozen
from service.config_sessions import SessionsConfig
from service.errors import ConfigError
from service.redaction import bare_yaml_error

ENV_PREFIX = "LONGSTREAM_"
ENV_NESTING = "__"
API_KEY_VARIABLE: Final = "LONGSTREAM_API_KEY"
"""The one variable that is no key of the tree: what commands that call a service show to it."""
DEFAULT_MODELS: Final = (
    "multi-head",
    "infini",
    "infini-plus",
    "bidirectional",
    "multi-head-weighted",
    "self-attention",
    "causal",
)
"""Each an attention variant and a model of that name; the first is the base model itself."""


def _default_data_dir() -> Path:
    home = os.environ.get("XDG_DATA_HOME")  # noqa: TID251 - the one reader
    return (Path(home) if home else Path.home() / ".local" / "share") / "longstream"


class ModelConfig(_Frozen):
    """One served encoder."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name clients put into `model`."""
    attention: str
    """A variant: one of those that `DEFAULT_MODELS` lists."""
    weights: str = DEFAULT_WEIGHTS
    """`package:NAME` (an installed weights package), `hub:OWNER/NAME@REVISION`, or a directory."""
    adapter: str = "packaged"
    """`packaged` (the trained one that comes with longstream, if any), a file, or `none`, without recall too."""
    memory_rule: MemoryRuleName = "linear"
    """How a memory is written: `linear` and `delta` are Infini-attention's equations 8 and 9, `delta-corrected` and
    `ridge` go beyond it; ignored by variants without memory."""
    replicas: int = Field(default=1, ge=1, le=256)
    """Processes that serve this model; sessions are spread over them by consistent hashing."""


class EngineConfig(_Frozen):
    """How work becomes forward passes."""

    step_tokens: int = Field(default=2048, ge=256)
    """Most tokens packed into one forward pass."""
    queue_tokens: int = Field(default=262_144, ge=256)
    """Most tokens waiting; more are refused with 503 `overloaded`."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads of a replica; default: all cores of the machine."""


class LimitsConfig(_Frozen):
    """What a request may ask for."""

    body_bytes: int = Field(default=2 * 1024**2, ge=1024)
    """Largest JSON body; larger ones are 413 `payload_too_large`. Streams have no limit."""
    import_bytes: int = Field(default=16 * 1024**2, ge=1024)
    """Largest session file that is imported, and that is exported."""
    body_seconds: float = Field(default=12.0, gt=0)
    """Longest time a JSON body may take to arrive."""
    texts: int = Field(default=2048, ge=1)
    """Most texts in one request without a session, and most questions in one to a session."""
    chunks: int = Field(default=256, ge=1)
    """Most chunks in one append, and in one second look."""
    attention_tokens: int = Field(default=128, ge=3, le=512)
    """Most tokens, CLS and SEP included, of a text whose attention is shown; it has to fit the model's window too."""
    answer_numbers: int = Field(default=2_097_152, ge=1, le=4_194_304)
    """Most numbers in one answer of token vectors, attention, or token ids; a larger one is 422 `answer_too_large`."""


class ServiceConfig(_Frozen):
    """Everything `longstream serve` can be told."""

    host: str = "127.0.0.1"
    """Address to listen on. Other than loopback needs `auth.keys_file`."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one and prints it."""
    data_dir: Path = Field(default_factory=_default_data_dir)
    """Directory of the session store; `~` is the user's home."""
    gateways: int = Field(default=1, ge=1, le=64)
    """Gateway processes; they share the port."""
    failpoints: Path | None = None
    """Directory through which tests end processes at named places; never in production, which has
    another host than 127.0.0.1 or API keys and refuses it."""
    models: tuple[ModelConfig, ...] = tuple(
        ModelConfig(id=attention, attention=attention) for attention in DEFAULT_MODELS
    )
    """Known encoders, one Ray Serve deployment each."""
    serve_models: tuple[str, ...] | None = None
    """Ids of the models that are served, a list or separated by commas; the others are switched off. Default: all."""
    engine: EngineConfig = EngineConfig()
    sessions: SessionsConfig = SessionsConfig()
    limits: LimitsConfig = LimitsConfig()
    auth: AuthConfig = AuthConfig()
    quotas: RateLimits = RateLimits()
    edge: EdgeConfig = EdgeConfig()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines to print; `debug` has one for every request, and messages of unforeseen errors, which may
    quote a text."""
    log_salt: str | None = None
    """Mixed into the hashes by which logs name sessions; default: another one at each start."""

    @field_validator("data_dir")
    @classmethod
    def _expand(cls, path: Path) -> Path:
        return path.expanduser()

    @field_validator("serve_models", mode="before")
    @classmethod
    def _split(cls, ids: Any) -> Any:
        if not isinstance(ids, str):
            return ids
        return tuple(part for name in ids.split(",") if (part := name.strip()))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.host:
            raise ValueError("host must not be empty; 127.0.0.1 is the default")
        if not is_loopback(self.host) and self.auth.keys_file is None:
            raise ValueError(
                f"host {self.host!r} is reachable from other machines and there are no API keys: make one with "
                "`longstream keys create` and name its file in auth.keys_file, or use 127.0.0.1"
            )
        ids = [model.id for model in self.models]
        if not ids or len(set(ids)) != len(ids):
            raise ValueError("models must be a non-empty list with distinct ids")
        if self.serve_models is not None:
            unknown = ", ".join(sorted(set(self.serve_models) - set(ids)))
            if unknown or not self.serve_models:
                raise ValueError(
                    f"serve_models: {f'no model is called {unknown}' if unknown else 'names none'}; "
                    f"there are {', '.join(ids)}"
                )
        return self

    @model_validator(mode="after")
    def _keep_failpoints_private(self) -> Self:
        alone = self.host in {"127.0.0.1", "::1", "localhost"} and self.auth.keys_file is None
        if self.failpoints is not None and not alone:
            raise ValueError(
                "failpoints end processes: not where others are served, on another host than 127.0.0.1 or with API keys"
            )
        return self

    @property
    def served(self) -> tuple[ModelConfig, ...]:
        """The models that are switched on, in the order of `models`."""
        chosen = self.serve_models
        return tuple(model for model in self.models if chosen is None or model.id in chosen)


def load_config(file: Path | None = None, **overrides: Any) -> ServiceConfig:
    """Resolve the configuration.

    Args:
        file: YAML file, or None.
        overrides: Top-level keys from the command line; None values are left out.

    Raises:
        ConfigError: names every key or variable that is unknown or wrong.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        tree = _read_yaml(file)
    _merge(tree, _from_environment(os.environ))  # noqa: TID251 - the one reader
    _merge(tree, {key: value for key, value in overrides.items() if value is not None})
    try:
        return ServiceConfig.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(map(_problem, error.errors()))
        raise ConfigError(f"configuration: {problems}") from error


def client_api_key() -> str | None:
    """Return the API key that commands show to a service, from `LONGSTREAM_API_KEY`; None without one."""
    return os.environ.get(API_KEY_VARIABLE) or None  # noqa: TID251 - the one reader


def _problem(error: ErrorDetails) -> str:
    """Say it as a person would: pydantic's wording of two common mistakes helps nobody."""
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such configuration key"
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {message}" if where else message


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {file}: {bare_yaml_error(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: the top level must be a mapping of keys")
    return tree


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Turn `LONGSTREAM_A__B=value` into `{a: {b: value}}`; values are read as YAML scalars."""
    tree: dict[str, Any] = {}
    for name, text in sorted(environment.items()):
        if not name.startswith(ENV_PREFIX) or name == API_KEY_VARIABLE:
            continue
        path = name.removeprefix(ENV_PREFIX).lower().split(ENV_NESTING)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{name}: not a YAML value: {bare_yaml_error(error)}") from error
        _check_key(name, path)
        for key in reversed(path):
            value = {key: value}
        _merge(tree, value)
    return tree


def _check_key(variable: str, path: list[str]) -> None:
    """Refuse a variable that names no key; the message that follows later could not say where it came from."""
    fields = ServiceConfig.model_fields
    for key in path:
        if key not in fields:
            raise ConfigError(f"{variable}: there is no configuration key {'.'.join(path)}")
        kind = fields[key].annotation
        fields = {}
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = kind.model_fields


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value
