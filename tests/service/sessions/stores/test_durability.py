"""What was acknowledged is there after kill -9, whole; nothing is there in halves."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from service.sessions.stores import SqliteStore
from tests.service.sessions.stores.crash_writer import commit_after, first_record, state_after

ROOT = Path(__file__).parents[4]
KILLS = 5


def acknowledged_until_killed(path: Path, seconds: float) -> int:
    """Let a writer run and kill it; return the last number it had printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.service.sessions.stores.crash_writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.kill()
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, errors.decode()
    # A last line without its end may have been cut off by the kill.
    lines = (first + rest).split(b"\n")[:-1]
    return int(lines[-1])


async def test_no_acknowledged_append_is_lost_to_kill_9(tmp_path):
    path, chance, reached = tmp_path / "sessions.sqlite3", np.random.default_rng(7), -1
    for _ in range(KILLS):
        last = acknowledged_until_killed(path, chance.uniform(0.005, 0.25))
        assert last > reached
        async with SqliteStore(path) as store:
            row = await store.get_with_state("t", "s")
            assert row is not None
            record, state = row
            # The commit under way when the kill came may have happened, and only that one.
            assert record.next_seq in {last + 1, last + 2}
            assert state == state_after(record.next_seq)
            chunks = await store.chunks("t", "s", 0, record.next_seq + 9)
            expected = first_record()
            for chunk in chunks:
                commit = commit_after(expected)
                assert chunk == commit.chunk
                assert commit.key is not None
                assert await store.key("t", "s", commit.key.key) == commit.key
                expected = commit.record
            assert record == expected
        reached = record.next_seq - 1
