from dataclasses import replace

from loadtests.bench.markdown import document, number, plain, section, summary, table
from loadtests.bench.result import Result
from loadtests.bench.rounds import Spread, Verdict
from loadtests.bench.vectors import Agreement

GOOD = Verdict("ours over theirs", Spread(2.0, 1.9, 2.1, 3), 1.8)
BAD = Verdict("latency", Spread(0.7, 0.6, 0.8, 3), 0.6, at_least=False)
PLAIN = Verdict("something else", Spread(3.0, 3.0, 3.0, 1))
DONE = Result(
    "batches",
    "32 texts",
    {"longstream": {"p50_ms": Spread(12.34, 10, 20, 3), "ok": Spread(1234, 1200, 1300, 3)}},
    [GOOD, BAD, PLAIN],
    {"peer": Agreement(48, 1.0, 0.99995)},
    ["first\nsecond"],
)
MISSING = Result("forks", "many", skipped="there | is no fork\ntrace")
UNJUDGED = Result("query", "one", missing=["infinity-torch: wrong vectors"])


def test_the_summary_has_what_was_promised_and_what_could_not_be_measured():
    lines = summary([DONE, MISSING, UNJUDGED]).splitlines()[2:]
    assert lines == [
        "| batches | 2 | 1.9 to 2.1 | ≥ 1.8: kept | ours over theirs |",
        "| batches | 0.7 | 0.6 to 0.8 | ≤ 0.6: **not kept** | latency |",
        r"| forks | not measured |  |  | there \| is no fork |",
        "| query | not measured |  |  | infinity-torch: wrong vectors |",
    ]


def test_a_section_has_ratios_figures_vectors_and_notes():
    text = section(DONE)
    assert "| 3 | one round |  | something else |" in text
    assert "| longstream | 12.3 (10 to 20) | 1,234 (1,200 to 1,300) |" in text
    assert "| peer | 48 | 1.000000 | 0.999950 |" in text
    assert "- first" in text
    assert "second" not in text
    assert "Not measured: there | is no fork" in section(MISSING)


def test_a_busy_machine_is_named():
    busy = document("here", [replace(DONE, others=0.4), MISSING], [])
    assert "**Other programs used up to 40% of the cores in this run" in busy
    calm = document("here", [replace(DONE, others=0.01)], ["a.png"])
    assert "**Other programs" not in calm
    assert "used up to 1% of the cores meanwhile" in calm
    assert "![a](a.png)" in calm


def test_figures_have_few_digits():
    assert [number(one) for one in (12345.6, 99.94, 1.25, 3.0, 0.12345, 0.0)] == [
        "12,346",
        "99.9",
        "1.2",
        "3",
        "0.123",
        "0",
    ]
    assert plain(Spread(5, 5, 5, 1)) == "5"
    assert table(("a",), [("1",)]) == "| a |\n| --- |\n| 1 |"
