"""Fixtures that the whole suite shares."""

from collections.abc import Iterator

import httpx
import pytest

from tests.running import RunningService


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service on a local Ray for all tests marked `ray`; tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("service")
    # Off until a test orders a death; see tests/chaos.
    orders, config = folder / "failpoints", folder / "config.yaml"
    orders.mkdir()
    config.write_text(f"failpoints: {orders}\n", encoding="utf-8")
    running = RunningService.start(folder, "--config", str(config))
    yield running
    assert running.stop() == 0, running.said()


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    """A plain HTTP client of the shared service; it retries nothing."""
    with service.client() as client:
        yield client
