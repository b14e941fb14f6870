import os
import subprocess
import sys
import time

import psutil
import pytest

from loadtests.bench.neighbours import Neighbours, OwnSeconds, own_seconds

BUSY = "import time; end = time.time() + 1.0\nwhile time.time() < end: pass"


def test_our_own_work_and_that_of_our_children_is_not_a_neighbours(monkeypatch):
    """The processor's own count is replaced by ours, so that no other program can disturb the test."""
    begun_s = time.perf_counter()
    others_s = 0.0

    def busy_s() -> float:
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        spent = [one.cpu_times() for one in family]
        return sum(one.user + one.system for one in spent) + others_s

    monkeypatch.setattr("loadtests.bench.neighbours._busy_s", busy_s)
    neighbours = Neighbours()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as child:
        time.sleep(0.4)
        assert neighbours.share() < 0.1
        wall_s = (time.perf_counter() - begun_s) * (os.cpu_count() or 1)
        others_s = wall_s / 2
        assert neighbours.share() == pytest.approx(0.5, abs=0.15)
        child.kill()


def test_a_server_of_ours_that_was_stopped_is_no_neighbour(monkeypatch):
    gone_s = 50.0
    ended: OwnSeconds = {(1, 0.0): gone_s}

    def busy_s() -> float:
        return sum(own_seconds().values()) + gone_s

    monkeypatch.setattr("loadtests.bench.neighbours._busy_s", busy_s)
    neighbours = Neighbours(ended)
    time.sleep(0.1)
    gone_s = 80.0
    assert neighbours.share() == 1
    ended[2, 0.0] = 30.0
    assert neighbours.share() < 0.5


def test_the_processors_time_passes():
    neighbours = Neighbours()
    time.sleep(0.1)
    assert 0 <= neighbours.share() <= 1
