"""A small model of every variant."""

from pathlib import Path

import pytest

from tests.service.cli.looking.kit import write_config


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("looking"))
