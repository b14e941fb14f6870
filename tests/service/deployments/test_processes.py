import os
import subprocess
import sys

import psutil

from service.deployments.processes import ProcessId, descendants, end

FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
time.sleep(60)
"""

FOSTER = """
import os, subprocess, sys, time
from service.deployments.processes import adopt_orphans, descendants, end_descendants
adopt_orphans()
parent = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
parent.stdout.readline()
parent.kill()
parent.wait()
left = descendants()
assert len(left) == 1, left
end_descendants()
assert not descendants()
assert not any(one.find() for one in left)
"""


def test_a_process_is_found_by_number_and_start_time() -> None:
    started = psutil.Process().create_time()
    found = ProcessId(os.getpid(), started).find()
    assert found is not None
    assert found.pid == os.getpid()
    assert ProcessId(os.getpid(), started - 0.01).find() is None


def test_the_whole_tree_is_seen_and_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        family = [
            one
            for one in descendants()
            if one.pid == parent.pid or psutil.Process(one.pid).ppid() == parent.pid
        ]
        assert len(family) == 2
        assert end(family) == []
    assert not any(one.find() for one in family if one.pid != parent.pid)


def test_ending_those_that_are_gone_is_nothing() -> None:
    assert end([ProcessId(2**22 + 1, 0.0)]) == []


def test_orphans_are_adopted_and_ended() -> None:
    result = subprocess.run(
        [sys.executable, "-c", FOSTER, FAMILY], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
