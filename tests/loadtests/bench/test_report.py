from dataclasses import replace

import orjson
import pytest

from loadtests.bench.bench import Settings
from loadtests.bench.errors import BenchError
from loadtests.bench.report import Machine, as_json, earlier, together, write
from loadtests.bench.result import Curve, Result
from loadtests.bench.rounds import Spread, Verdict
from loadtests.bench.vectors import Agreement

pytest.importorskip("matplotlib")
MACHINE = Machine("processor", 2, 16.0, "system", 0.5)
CURVES = (
    Curve("append", "tokens read", "ms a chunk", ((1.0, 50.0), (1000.0, 51.0))),
    Curve("replica", "tokens read", "resident MiB", ((1.0, 500.0), (1000.0, 500.0))),
)


def test_a_report_is_data_text_and_pictures(tmp_path):
    verdict = Verdict("flat", Spread(1.0, 0.99, 1.01, 3), 1.03, at_least=False)
    result = Result("flat", "one document", {}, [verdict], curves=CURVES)
    files = write(tmp_path / "out", MACHINE, Settings(), [result])
    names = [file.name for file in files]
    assert names == ["report.json", "report.md", "flat-ms-a-chunk.png", "flat-resident-mib.png"]
    tree = orjson.loads(files[0].read_bytes())
    assert tree["results"][0]["verdicts"][0]["met"] is True
    assert tree["settings"]["rounds"] == 3
    text = files[1].read_text()
    assert "≤ 1.03: kept" in text
    assert "flat-resident-mib.png" in text
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[2:])


def test_the_machine_describes_itself():
    machine = Machine.here()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory_gib > 0.5


def test_a_report_is_read_back_and_added_to(tmp_path):
    assert earlier(tmp_path, MACHINE) == []
    verdict = Verdict("ratio", Spread(2.0, 1.9, 2.1, 3), 1.8)
    old = Result(
        "flat",
        "one document",
        {"longstream": {"p50_ms": Spread(1.0, 0.9, 1.1, 3)}},
        [verdict],
        {"peer": Agreement(48, 1.0, 0.99995)},
        ["a note"],
        CURVES,
        when="earlier",
    )
    write(tmp_path, MACHINE, Settings(), [old])
    [again] = earlier(tmp_path, MACHINE)
    assert orjson.dumps(as_json(again)) == orjson.dumps(as_json(old))
    newer = [Result("query", "one", when="now"), Result("flat", "one document", skipped="no time")]
    found = together([again], newer, ["query", "flat"])
    assert [(one.name, one.when) for one in found] == [("query", "now"), ("flat", "earlier")]
    assert [one.skipped for one in together([], newer, ["flat"])] == ["no time"]


def test_a_report_of_another_machine_is_not_added_to(tmp_path):
    write(tmp_path, MACHINE, Settings(), [])
    with pytest.raises(BenchError, match=f"another machine, {MACHINE.processor}"):
        earlier(tmp_path, replace(MACHINE, cores=MACHINE.cores + 2))


def test_a_report_that_is_none_is_not_added_to(tmp_path):
    (tmp_path / "report.json").write_text('{"results": [{"name": 1}]}')
    with pytest.raises(BenchError, match="no report to add to"):
        earlier(tmp_path, MACHINE)
