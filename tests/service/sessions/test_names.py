import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.sessions.names import IDEMPOTENCY_KEY, SESSION_ID


@pytest.mark.parametrize("name", ["a", "_", "-", "Az09_-", "a" * 128])
def test_session_ids(name):
    assert SESSION_ID.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a" * 129, "a\n", ".", "a.b", "a b", "ü", "a/b"])
def test_no_session_ids(name):
    assert not SESSION_ID.fullmatch(name)


@pytest.mark.parametrize("key", ["!", "~", "k" * 255, '"quoted"'])
def test_idempotency_keys(key):
    assert IDEMPOTENCY_KEY.fullmatch(key)


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "a\n", "\x7f", "ü"])
def test_no_idempotency_keys(key):
    assert not IDEMPOTENCY_KEY.fullmatch(key)


def test_names_are_light_to_import():
    code = (
        "import json, sys, service.sessions.names\n"
        "print(json.dumps(sorted(set(sys.modules) & {'torch', 'numpy', 'pydantic', 'models'})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == []
