from io import StringIO

from rich.console import Console

from service.cli.embedding.job import Status
from service.cli.embedding.progress import Pace, ProgressBar
from service.client import TransportError


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_remaining_time_count_what_is_new():
    clock = Clock()
    pace = Pace(10_000, clock)
    resumed = Status(chunks=4, source_bytes=4_000, tokens=900, resumed=True)
    assert pace.describe(resumed) == "4 chunks from an earlier run"
    clock.now += 10
    later = Status(chunks=5, source_bytes=5_000, tokens=21_000)
    assert pace.describe(later) == "2,010 tokens/s, 0:00:50 left"


def test_a_pipe_has_no_end_in_sight():
    clock = Clock()
    pace = Pace(None, clock)
    clock.now += 2
    assert pace.describe(Status(1, 1_000, 300)) == "150 tokens/s"


def test_long_waits_are_told_in_hours():
    clock = Clock()
    pace = Pace(7_322_000, clock)
    clock.now += 1
    assert pace.describe(Status(1, 1_000, 300)).endswith("2:02:01 left")


def drawn(*, terminal: bool) -> str:
    text = StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    with ProgressBar(console, 1_000) as bar:
        bar(Status(3, 600, 1_234))
        for patience in (15.0, 15.0, 300.0, 300.0):
            bar.waiting("http://x", patience, TransportError(None, "connection_failed", "refused"))
    return text.getvalue()


def test_a_terminal_shows_the_run():
    assert "3 chunks, 1,234 tokens" in drawn(terminal=True)
    assert "waiting for the service: connection_failed" in drawn(terminal=True)


def test_elsewhere_it_says_once_that_it_waits_and_how_long():
    assert drawn(terminal=False).splitlines() == [
        "longstream: waiting up to 15 s for http://x: refused",
        "longstream: waiting up to 300 s for http://x: refused",
    ]
