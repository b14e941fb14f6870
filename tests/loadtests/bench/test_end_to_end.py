"""A whole run against fake servers: real processes, real HTTP, real files; only the vectors are made up."""

import asyncio
from dataclasses import replace

import orjson
import psutil
import pytest

from loadtests.bench.bench import Bench, Settings
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments.base import Experiment
from loadtests.bench.fleet import Fleet
from loadtests.bench.generate import requests_of
from loadtests.bench.peers import OURS, Launch
from loadtests.bench.report import Machine, write
from loadtests.bench.result import Result
from loadtests.bench.run import chosen, run
from loadtests.bench.workload import load_workload
from tests.loadtests.bench.conftest import fake

SETTINGS = Settings(rounds=2, seconds=0.3, warm_up_s=0.05)
DEADLINE = float("inf")


def cannot() -> Launch:
    raise BenchError("no such package")


@pytest.fixture
def started_here():
    """Return a function that lists the processes started since; other tests' Redis and Ray run beside them."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    return lambda: [one for one in me.children(recursive=True) if one not in before]


@pytest.fixture
def bench(tmp_path, corpus):
    peers = {
        "infinity-torch": lambda: fake("infinity-torch"),
        "infinity-onnx": lambda: fake("infinity-onnx", "wrong"),
        "infinity-ctranslate2": cannot,
    }
    said: list[str] = []
    fleet = Fleet(tmp_path / "logs", fake(OURS), peers, said.append)
    made = Bench(SETTINGS, fleet, tmp_path, said.append)
    made.__dict__["corpus"] = corpus
    for name in ("chat", "mixed", "live", "full", "forks"):
        workload = load_workload(name).model_copy(update={"requests": 4 if name == "forks" else 60})
        made._requests[name] = requests_of(workload, corpus)
    return made


async def test_servers_are_gated_measured_in_turns_reported_and_stopped(
    bench, tmp_path, started_here
):
    experiments = chosen(["query", "sessions-over-stateless", "forks"])
    async with bench.fleet as fleet:
        await fleet.install()
        results = {one.name: one for one in await run(experiments, bench, DEADLINE)}
        family = started_here()
        assert len(family) == 2
    assert not [one for one in family if one.is_running()]
    query = results["query"]
    assert list(query.rows) == [OURS, "infinity-torch"]
    assert query.rows[OURS]["ok"].rounds == 2
    assert query.rows[OURS]["failed"].high == 0
    ours = query.verdicts[0]
    assert (ours.bound, ours.at_least) == (0.6, False)
    assert 0.2 < ours.value.median < 5
    assert query.agreements["infinity-torch"].lowest > 0.9999
    assert query.agreements["infinity-onnx"].lowest < 0.9
    assert any("infinity-onnx is left out: its vectors" in note for note in query.notes)
    assert any("no such package" in note for note in query.notes)
    sessions = results["sessions-over-stateless"]
    assert sessions.agreements["read again alone"].same
    assert sessions.rows["sessions"]["tokens_per_s"].median > 0
    forks = results["forks"]
    assert not forks.skipped
    assert forks.rows["forks"]["ok"].median >= 8
    assert forks.agreements["one child's whole past read again alone"].same
    files = write(tmp_path / "out", Machine.here(), SETTINGS, list(results.values()))
    assert orjson.loads(files[0].read_bytes())["results"][0]["name"] == "query"
    assert "## forks" in files[1].read_text()


async def test_an_overload_that_is_too_short_is_measured_but_not_judged(bench, monkeypatch):
    # The fake server answers so fast that five times as much would keep this process busy for minutes.
    monkeypatch.setattr("loadtests.bench.experiments.scale._OVER", 0.1)
    bench.settings = replace(SETTINGS, overload_s=1.2)
    async with bench.fleet:
        result = (await run(chosen(["overload"]), bench, DEADLINE))[0]
    assert not result.skipped
    assert list(result.rows) == ["closed loop", "five times that", "one at a time"]
    assert [one.bound for one in result.verdicts] == [None] * 4
    assert result.curves[0].points[0][1] > 0
    assert "--overload-s 120" in result.missing[0]
    assert result.when.endswith("2 rounds, 0.3 s a measurement")


async def test_what_does_not_fit_or_fails_is_in_the_report_with_the_reason(bench):
    late = (await run(chosen(["query"]), bench, 0.0))[0]
    assert "were left" in late.skipped
    broken = Launch("broken", ("/bin/false",), {}, None, "/health", "/", "")
    async with Fleet(bench.folder / "logs", broken, {}, bench.say) as fleet:
        bench.fleet = fleet
        failed = (await run(chosen(["query"]), bench, DEADLINE))[0]
    assert "broken did not become ready" in failed.skipped


async def test_an_experiment_that_breaks_does_not_take_the_others_with_it(bench):
    async def breaks(_bench: Bench, _experiment: Experiment) -> Result:
        raise ZeroDivisionError

    async def works(_bench: Bench, experiment: Experiment) -> Result:
        return Result(experiment.name, experiment.title)

    both = [Experiment(name, "", one, lambda _: 0.0) for name, one in (("a", breaks), ("b", works))]
    results = await run(both, bench, DEADLINE)
    assert ["ZeroDivisionError" in one.skipped for one in results] == [True, False]


async def test_a_service_that_does_not_start_is_not_tried_again(tmp_path):
    broken = Launch("broken", ("/bin/false",), {}, None, "/health", "/", "")
    said: list[str] = []
    async with Fleet(tmp_path, broken, {}, said.append) as fleet:
        for _ in range(2):
            with pytest.raises(BenchError, match="did not become ready"):
                await fleet.ours()
    assert len(said) == 1


async def test_an_interrupted_run_stops_its_servers(bench, started_here):
    started = asyncio.Event()

    async def endless() -> None:
        async with bench.fleet as fleet:
            await fleet.ours()
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(endless())
    await started.wait()
    family = started_here()
    assert len(family) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [one for one in family if one.is_running()]


def test_other_servers_are_prepared_for_those_that_measure_them():
    assert [one.name for one in chosen([]) if one.beside] == [
        "batches",
        "query",
        "singles",
        "curve",
    ]


def test_experiments_have_names_and_an_order():
    assert [one.name for one in chosen(["query", "batches"])] == ["batches", "query"]
    assert len(chosen([])) == 15
    with pytest.raises(BenchError, match="no experiment is called nonsense"):
        chosen(["nonsense"])
