"""Failpoints: off unless a directory is named, one death for one order, and each name at one place."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service import failpoints
from service.failpoints import FAILPOINTS, WHERE, Failpoint, Orders, arm, disarm, reach, victim

SERVICE = Path(failpoints.__file__).parent


class Deaths:
    """Orders that are followed by counting."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self.orders = Orders(folder, self._die)

    def _die(self) -> None:
        self.count += 1

    def after(self, failpoint: Failpoint, times: int = 1) -> int:
        for _ in range(times):
            self.orders.reached(failpoint)
        return self.count


@pytest.fixture
def deaths(tmp_path) -> Deaths:
    return Deaths(tmp_path)


def test_every_name_is_explained_and_stands_at_one_place():
    sources = "".join(path.read_text(encoding="utf-8") for path in SERVICE.rglob("*.py"))
    assert set(WHERE) == set(FAILPOINTS)
    assert [sources.count(f'reach("{name}")') for name in FAILPOINTS] == [1] * len(FAILPOINTS)
    assert sources.count(" reach(") == len(FAILPOINTS) + 1  # and its definition


def test_without_a_directory_nothing_is_even_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(failpoints, "_kill", lambda: pytest.fail("killed"))
    failpoints.enable(None)
    arm(tmp_path, "engine.step")
    monkeypatch.setattr(failpoints, "_read", lambda _: pytest.fail("looked"))
    for name in FAILPOINTS:
        reach(name)


def test_an_order_names_place_and_time(tmp_path, deaths):
    order = arm(tmp_path, "append.encoded", hits=3)
    assert deaths.after("append.committed", times=5) == 0
    assert deaths.after("append.encoded", times=2) == 0
    assert victim(tmp_path, order) is None
    assert deaths.after("append.encoded") == 1
    assert victim(tmp_path, order) is not None


def test_an_order_is_followed_once(tmp_path, deaths):
    arm(tmp_path, "hot.evict")
    others = Deaths(tmp_path)
    assert deaths.after("hot.evict", times=4) + others.after("hot.evict", times=4) == 1


def test_of_threads_that_arrive_together_one_dies(tmp_path, deaths):
    arm(tmp_path, "store.write", hits=8)
    threads = [threading.Thread(target=deaths.after, args=("store.write",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert deaths.count == 1


def test_the_count_begins_with_the_order(tmp_path, deaths):
    arm(tmp_path, "engine.step", hits=3)
    deaths.after("engine.step", times=2)
    arm(tmp_path, "engine.step", hits=2)
    assert deaths.after("engine.step") == 0
    assert deaths.after("engine.step") == 1


def test_an_order_can_be_withdrawn(tmp_path, deaths):
    arm(tmp_path, "engine.step")
    disarm(tmp_path)
    disarm(tmp_path)
    assert deaths.after("engine.step", times=3) == 0


def test_a_process_dies_as_in_a_crash_and_says_who_it_was(tmp_path):
    order = arm(tmp_path, "recovery.load", hits=2)
    program = (
        "import sys, pathlib\n"
        "from service import failpoints\n"
        "failpoints.enable(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(3):\n"
        "    failpoints.reach('recovery.load')\n"
        "    print('alive', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert said.splitlines()[-1] == "alive"
    assert said.count("alive") == 1
    assert victim(tmp_path, order) == process.pid
