import os

import pytest

from service.config import ServiceConfig
from service.config_models import EngineConfig
from service.deployments.environment import driver_environment, ray_flags


def test_every_own_cluster_has_a_secret_of_its_own() -> None:
    first, second = (driver_environment(ServiceConfig(), own_cluster=True) for _ in range(2))
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]


def test_a_named_clusters_rules_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    environment = driver_environment(ServiceConfig(), own_cluster=False)
    assert environment["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in environment


def test_an_own_cluster_cannot_be_someone_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "RAY_ADDRESS" not in driver_environment(ServiceConfig(), own_cluster=True)


@pytest.mark.parametrize(("threads", "expected"), [(3, "3"), (None, str(os.cpu_count()))])
def test_openmp_gets_the_engines_threads(threads: int | None, expected: str) -> None:
    config = ServiceConfig(engine=EngineConfig(threads=threads))
    assert driver_environment(config, own_cluster=True)["OMP_NUM_THREADS"] == expected


def test_settings_are_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGSTREAM_PORT", "1")
    monkeypatch.setenv("UNRELATED", "kept")
    environment = driver_environment(ServiceConfig(), own_cluster=True)
    assert "LONGSTREAM_PORT" not in environment
    assert environment["UNRELATED"] == "kept"
    assert ray_flags(ServiceConfig()).items() <= environment.items()


def test_what_an_own_cluster_listens_on_and_keeps_is_bounded() -> None:
    environment = driver_environment(ServiceConfig(), own_cluster=True)
    # Ray rotates the output of workers only if this is set.
    assert 0 < int(environment["RAY_ROTATION_MAX_BYTES"]) <= 64 * 1024**2
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in ray_flags(ServiceConfig())
    named = driver_environment(ServiceConfig(), own_cluster=False)
    assert "RAY_enable_metrics_collection" not in named
