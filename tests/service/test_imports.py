"""What a process does not import until it needs it: every replica pays for imports at its start."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("service.encoder_node", ("redis", "huggingface_hub.hf_api", "fastapi", "uvicorn", "ray")),
        ("service.api.app", ("redis", "torch", "tokenizers", "ray")),
        ("service.deployments.supervisor", ("redis", "torch", "fastapi", "ray", "numpy")),
        ("service.deployments.driver", ("redis", "torch", "tokenizers", "sqlite3")),
    ],
)
def test_a_process_imports_only_what_it_needs(module: str, spared: tuple[str, ...]):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not loaded.intersection(spared)
