"""The command line as a user meets it: in a process of its own."""

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from service.config import DEFAULT_MODELS, ServiceConfig, load_config
from tests.running import LONGSTREAM, RunningService


def longstream(
    *arguments: str, env: dict[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LONGSTREAM, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "COLUMNS": "200", **(env or {})},  # noqa: TID251 - a child's environment
    )


def test_help_names_the_commands() -> None:
    shown = longstream("--help")
    assert shown.returncode == 0
    for command in ("serve", "embed", "models", "attention", "evaluate", "demo", "keys"):
        assert command in shown.stdout


def test_version() -> None:
    assert longstream("--version").stdout == f"longstream {version('longstream')}\n"


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "fastapi", "pydantic", "numpy", "httpx", "prometheus_client")
    code = f"import sys, service.cli; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"


def test_the_process_that_watches_knows_no_ray() -> None:
    code = "import sys, service.deployments.supervisor; print('ray' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "False"


def test_check_config_prints_a_configuration_that_resolves_to_itself(tmp_path: Path) -> None:
    shown = longstream("check-config", "--data-dir", str(tmp_path), "--port", "8123")
    assert shown.returncode == 0, shown.stderr
    assert ServiceConfig.model_validate(yaml.safe_load(shown.stdout)) == load_config(
        data_dir=tmp_path, port=8123
    )
    file = tmp_path / "config.yaml"
    file.write_text(shown.stdout)
    assert longstream("check-config", "--config", str(file)).stdout == shown.stdout


def test_check_config_puts_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("engine: {step_tokens: 512, threads: 1}\n")
    env = {"LONGSTREAM_ENGINE__STEP_TOKENS": "1024"}
    shown = yaml.safe_load(longstream("check-config", "-c", str(file), env=env).stdout)
    assert (shown["engine"]["step_tokens"], shown["engine"]["threads"]) == (1024, 1)


def test_check_config_does_not_show_the_password_of_a_store() -> None:
    env = {"LONGSTREAM_SESSIONS__STORE": "redis://user:hunter2@127.0.0.1:1/0"}
    shown = longstream("check-config", env=env)
    assert shown.returncode == 0, shown.stderr
    assert yaml.safe_load(shown.stdout)["sessions"]["store"] == "redis://user:***@127.0.0.1:1/0"
    assert "hunter2" not in shown.stdout + shown.stderr


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense: 1", "nonsense"),
        ("models: []", "models must be a non-empty list"),
        ("host: 0.0.0.0", "there are no API keys"),
        ("auth: {keys_file: nowhere.yaml}", "there is no such file of API keys"),
        ("a: [", "cannot read"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    tmp_path: Path, command: str, content: str, says: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    shown = longstream(command, "--config", str(file))
    assert shown.returncode == 1
    assert says in shown.stderr
    assert shown.stderr.startswith("longstream: ")
    assert "Traceback" not in shown.stderr


def test_a_file_that_is_not_there() -> None:
    shown = longstream("serve", "--config", "nowhere.yaml")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "nowhere.yaml" in shown.stderr


def test_serve_on_a_taken_port_says_so_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        shown = longstream("serve", "--port", port, "--data-dir", str(tmp_path), timeout_s=20)
    assert shown.returncode == 1
    assert shown.stderr.startswith(f"longstream: port {port} on 127.0.0.1 is in use")
    assert shown.stderr.count("\n") == 1


def test_serve_without_a_place_for_its_data(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown = longstream("serve", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert shown.returncode == 1
    assert shown.stderr.startswith("longstream: data_dir: cannot create")


def test_serve_refuses_a_store_its_processes_cannot_share() -> None:
    shown = longstream("serve", "--port", "0", env={"LONGSTREAM_SESSIONS__STORE": "memory"})
    assert shown.returncode == 1
    assert "sessions.store" in shown.stderr


def test_models_of_a_service_that_is_not_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        shown = longstream("models", "--url", url)
    assert shown.returncode == 1
    assert shown.stderr.startswith(f"longstream: {url}: ")
    assert "Traceback" not in shown.stderr


@pytest.mark.ray
def test_models_of_a_running_service(service: RunningService) -> None:
    shown = longstream("models", "--url", service.url)
    assert shown.returncode == 0, shown.stderr
    heading, *rows = shown.stdout.splitlines()
    assert heading.split()[:2] == ["model", "attention"]
    assert [row.split()[0] for row in rows] == list(DEFAULT_MODELS)
    assert "none" in rows[0]
    assert "KiB" in rows[1]
