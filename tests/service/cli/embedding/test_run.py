import dataclasses
import json
from pathlib import Path

import httpx
import pytest

from service.cli.embedding.errors import SourceError
from service.cli.embedding.job import Status
from service.cli.embedding.journal import Header, Journal
from service.cli.embedding.run import run
from service.client import LongstreamClient
from tests.service.cli.embedding.kit import (
    CHUNKS,
    TEXT,
    expected,
    interrupted,
    killed,
    let_pass,
    limited,
    perform,
    piped,
    rows_of,
)
from tests.service.client.fake import FakeService, problem, refuse


def test_a_run_writes_every_chunk(job, service):
    seen: list[Status] = []
    summary = perform(job, service, seen.append)
    assert rows_of(job.output) == expected()
    assert (summary.chunks, summary.tokens) == (len(CHUNKS), len(TEXT.split()))
    assert not job.part.exists()
    assert service.sessions[summary.session].texts == CHUNKS
    assert seen[-1] == Status(len(CHUNKS), len(TEXT.encode()), len(TEXT.split()))


def test_a_service_that_restarts_midway_is_waited_for(job, service):
    away = [refuse] * 4 + [lambda _request: problem(503, "draining")]
    service.faults = [let_pass] * 6 + away + [let_pass] * 2 + away
    perform(job, service)
    assert rows_of(job.output) == expected()


def test_lost_answers_leave_nothing_double(job, service):
    service.lose_answers = 4
    perform(job, service)
    assert rows_of(job.output) == expected()


@pytest.mark.parametrize("requests_before", range(14))
def test_a_run_killed_at_any_request_goes_on_where_it_was(job, service, requests_before):
    service.faults = [let_pass] * requests_before + [killed]
    with pytest.raises(KeyboardInterrupt):
        perform(job, service)
    assert not job.output.exists()
    kept = len(job.part.read_bytes().splitlines()) if job.part.exists() else 0
    assert kept != 1, "a journal without rows stayed"
    asked_before = len(service.requests)
    summary = perform(job, service)
    assert rows_of(job.output) == expected()
    assert len(service.sessions) == 1
    appended = [
        json.loads(request.content)["first_seq"]
        for request in service.requests[asked_before:]
        if request.url.path.endswith("/chunks")
    ]
    assert appended[0] == max(kept - 1, 0)
    assert summary.chunks == len(CHUNKS)


def test_a_run_killed_before_it_noted_an_answer_gets_it_replayed(job, service):
    def committed_then_killed(request: httpx.Request) -> httpx.Response:
        service._route(request)
        raise KeyboardInterrupt

    service.faults = [let_pass] * 4 + [committed_then_killed]
    with pytest.raises(KeyboardInterrupt):
        perform(job, service)
    (session,) = service.sessions.values()
    with Journal(job.part) as journal:
        assert len(session.texts) == journal.rows + 3
    perform(job, service)
    assert rows_of(job.output) == expected()
    assert session.texts == CHUNKS


def test_a_torn_journal_is_mended(job, service):
    service.faults = [let_pass] * 6 + [killed]
    with pytest.raises(KeyboardInterrupt):
        perform(job, service)
    job.part.write_bytes(job.part.read_bytes()[:-10])
    perform(job, service)
    assert rows_of(job.output) == expected()


def test_a_kill_between_journal_and_output_costs_no_request(job, service, monkeypatch):
    stop = KeyboardInterrupt

    def dying(*_args: object) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr("service.cli.embedding.run.write_output", dying)
        with pytest.raises(stop):
            perform(job, service)
    asked = len(service.requests)
    perform(job, service)
    assert [request.method for request in service.requests[asked:]] == ["HEAD"]
    assert rows_of(job.output) == expected()


def test_resumed_rows_are_reported_as_such(job, service):
    service.faults = [let_pass] * 5 + [killed]
    with pytest.raises(KeyboardInterrupt):
        perform(job, service)
    seen: list[Status] = []
    perform(job, service, seen.append)
    resumed = [status.chunks for status in seen if status.resumed]
    assert resumed == list(range(1, len(resumed) + 1))
    assert len(resumed) == 6


def test_running_a_finished_job_again_gives_the_same_output(job, service):
    perform(job, service)
    first = job.output.read_bytes()
    perform(job, service)
    assert job.output.read_bytes() == first
    assert len(service.sessions) == 1


def test_another_size_of_batch_gives_the_same_output(job, service):
    perform(job, service)
    other = dataclasses.replace(job, batch=7, output=job.output.with_name("other.jsonl"))
    perform(other, FakeService())
    assert other.output.read_bytes() == job.output.read_bytes()


def test_delete_leaves_no_session_and_does_not_stop_the_next_run(job, service):
    tidy = dataclasses.replace(job, keep_session=False)
    first = perform(tidy, service)
    second = perform(tidy, service)
    assert first.session != second.session
    assert {session.status for session in service.sessions.values()} == {"deleted"}
    assert rows_of(job.output) == expected()


def test_an_empty_text_gives_an_empty_output(job, service):
    assert isinstance(job.source, Path)
    job.source.write_text("")
    assert perform(job, service).chunks == 0
    assert job.output.read_bytes() == b""


def test_a_pipe_gives_the_same_output_as_the_file(job, service):
    perform(job, service)
    other = dataclasses.replace(job, output=job.output.with_name("piped.jsonl"))
    perform(piped(other, TEXT), service)
    assert other.output.read_bytes() == job.output.read_bytes()


def test_a_pipe_is_resumed_by_the_same_text(job, service):
    interrupted(piped(job, TEXT), service)
    perform(piped(job, TEXT), service)
    assert rows_of(job.output) == expected()
    assert len(service.sessions) == 1


@pytest.mark.parametrize("batch", [1, 256])
def test_a_request_stays_small_whatever_the_options_ask_for(job, service, batch):
    assert isinstance(job.source, Path)
    job.source.write_text("é\x01" * 1_000_000)
    perform(dataclasses.replace(job, chunk_chars=20_000, batch=batch), service)
    sizes = [len(request.content) for request in service.requests if request.method == "POST"]
    assert max(sizes) <= 2**20
    if batch == 256:
        # 100 chunks of 80,000 bytes: thirteen fit.
        assert len(sizes) == 1 + 8


def test_a_service_with_a_lower_limit_gets_smaller_requests(job, service):
    limited(service, 500)
    perform(dataclasses.replace(job, batch=8), service)
    assert rows_of(job.output) == expected()


def test_a_journal_without_rows_binds_nothing(job, service):
    header = Header("gone", "multi-head", 7, "d" * 64, 3)
    line = {"format": "longstream embed journal 1", **dataclasses.asdict(header)}
    job.part.write_text(json.dumps(line, separators=(",", ":")) + "\n")
    perform(job, service)
    assert rows_of(job.output) == expected()


def test_the_service_is_greeted_once_and_only_when_all_is_well_here(job, service):
    greeted: list[int] = []
    with LongstreamClient(transport=httpx.MockTransport(service)) as client:
        missing = dataclasses.replace(job, source=job.output.with_name("missing.txt"))
        with pytest.raises(SourceError):
            run(missing, client, lambda _status: None, lambda: greeted.append(0))
        run(job, client, lambda _status: None, lambda: greeted.append(len(service.requests)))
    assert greeted == [0]
