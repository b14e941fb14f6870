import pytest

from loadtests.bench.errors import BenchError
from loadtests.bench.generate import requests_of
from loadtests.bench.workload import FOLDER, SessionsWorkload, TextsWorkload, load_workload

NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))


def test_the_workloads_that_come_with_the_project():
    assert NAMES == [
        "batches",
        "books",
        "chat",
        "forks",
        "full",
        "live",
        "mixed",
        "transcripts",
    ]
    sizes = {name: load_workload(name) for name in NAMES}
    batches, transcripts = sizes["batches"], sizes["transcripts"]
    assert isinstance(batches, TextsWorkload)
    assert batches.texts == 32
    assert isinstance(transcripts, SessionsWorkload)
    assert transcripts.sessions == 1000


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_gives_requests(name, corpus):
    workload = load_workload(name)
    requests = requests_of(workload.model_copy(update={"requests": 4}), corpus)
    assert requests == sorted(requests, key=lambda one: one.at_s)
    assert all(one.texts or one.parent is not None for one in requests)


TEXTS = "kind: texts\nseed: 1\nrequests: 1\n"
SESSIONS = "kind: sessions\nseed: 1\nsessions: 1\nrequests: 1\n"
LENGTH = "tokens: {kind: fixed, tokens: 3}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{TEXTS}{LENGTH}size: 2", "size"),
        (f"{TEXTS}{LENGTH}texts: 0", "texts"),
        ("kind: poems\nseed: 1", "poems"),
        ("[1, 2", "bad"),
        (f"{TEXTS}tokens: {{kind: lognormal, median: 3, sigma: 1, min: 9, max: 4}}", "min must"),
        (f"{SESSIONS}{LENGTH}forks: {{after: 2, children: 1, requests: 1}}", "forks.after"),
    ],
)
def test_a_wrong_file_is_told_apart(tmp_path, text, problem):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(BenchError, match=problem):
        load_workload("bad", tmp_path)


def test_a_missing_workload_names_those_there_are():
    with pytest.raises(BenchError, match="batches, books, chat"):
        load_workload("none")
