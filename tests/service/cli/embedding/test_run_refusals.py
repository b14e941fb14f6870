"""Runs that cannot go on, and what they say."""

import dataclasses
from pathlib import Path

import httpx
import pytest

from service.cli.embedding.errors import JournalError, RunError, SourceError
from service.cli.embedding.journal import Journal
from service.client import Invalid, LongstreamClient, NotFound, TransportError
from tests.service.cli.embedding.kit import (
    TEXT,
    expected,
    interrupted,
    let_pass,
    limited,
    perform,
    piped,
    rows_of,
)
from tests.service.client.fake import FakeService, model_card, problem, refuse


def test_a_session_that_is_gone_says_what_to_do(job, service):
    service.sessions[interrupted(job, service)].status = "lost"
    with pytest.raises(RunError, match=r"session_lost.*delete .*out\.jsonl\.part"):
        perform(job, service)


def test_a_session_lost_while_it_is_read_says_what_to_do(job, service):
    gone = problem(410, "session_lost")
    service.faults = [let_pass] * 5 + [lambda _request: gone]
    with pytest.raises(RunError, match="session_lost"):
        perform(job, service)
    assert job.part.exists()


def test_an_explicit_session_that_is_gone_is_not_replaced(job, service):
    explicit = dataclasses.replace(job, session="mine", keep_session=False)
    perform(explicit, service)
    with pytest.raises(RunError, match="another --session"):
        perform(explicit, service)


def test_a_service_without_the_session_says_what_to_do(job, service):
    interrupted(job, service)
    with pytest.raises(RunError, match="does not know session"):
        perform(job, FakeService())


def test_a_service_that_forgot_rows_says_what_to_do(job, service):
    session = service.sessions[interrupted(job, service)]
    del session.texts[2:], session.answers[2:]
    with pytest.raises(RunError, match=r"has read 2 chunks and .* holds 6"):
        perform(job, service)


def test_a_source_that_changed_between_runs_is_refused(job, service):
    interrupted(job, service)
    assert isinstance(job.source, Path)
    job.source.write_text("Another text.")
    with pytest.raises(RunError, match="begun with another text"):
        perform(job, service)
    assert job.part.exists()


def test_a_source_that_changes_while_it_is_read_is_refused(job, service):
    assert isinstance(job.source, Path)

    def append_to_it(_request: httpx.Request) -> None:
        with job.source.open("a") as stream:
            stream.write("more")

    service.faults = [append_to_it]
    with pytest.raises(RunError, match="begun with another text"):
        perform(job, service)
    assert not job.output.exists()


@pytest.mark.parametrize(
    ("change", "option"),
    [({"chunk_chars": 50}, "--chunk-chars 100, not 50"), ({"session": "x"}, "--session embed-")],
)
def test_other_options_than_the_journal_was_begun_with_are_refused(job, service, change, option):
    interrupted(job, service)
    with pytest.raises(RunError, match=option):
        perform(dataclasses.replace(job, **change), service)


def test_a_session_that_read_another_text_is_refused(job, service):
    with LongstreamClient(transport=httpx.MockTransport(service)) as client:
        client.create_session("infini", "mine")
        client.append("mine", ["other"], 0)
    with pytest.raises(RunError, match="has read another text"):
        perform(dataclasses.replace(job, session="mine"), service)


def test_a_session_of_another_model_is_refused(job, service):
    with LongstreamClient(transport=httpx.MockTransport(service)) as client:
        client.create_session("other", "mine")
    with pytest.raises(RunError, match="read by model other"):
        perform(dataclasses.replace(job, session="mine"), service)


def test_a_service_that_stays_away_keeps_the_rows(job, service):
    service.faults = [let_pass] * 5 + [refuse] * 10_000
    with pytest.raises(TransportError, match="refused"):
        perform(job, service)
    service.faults = []
    perform(job, service)
    assert rows_of(job.output) == expected()


def test_a_refusal_is_passed_on(job, service):
    service.faults = [let_pass] * 2 + [lambda _request: problem(422, "model_has_no_memory")]
    with pytest.raises(Invalid, match="model_has_no_memory"):
        perform(job, service)


def test_two_runs_of_one_output_do_not_mix(job, service):
    with Journal(job.part), pytest.raises(JournalError, match="another process"):
        perform(job, service)


def test_bytes_that_are_no_text_end_the_run_and_keep_the_rows(job, service):
    assert isinstance(job.source, Path)
    job.source.write_bytes(TEXT.encode() + b"\xff")
    with pytest.raises(SourceError, match=f"at byte {len(TEXT)}"):
        perform(job, service)


@pytest.mark.parametrize("other", ["Another text. " * 300, TEXT[:150], ""])
def test_a_pipe_is_not_resumed_by_another_text(job, service, other):
    interrupted(piped(job, TEXT), service)
    with pytest.raises(RunError, match="begun with another text"):
        perform(piped(job, other), service)


def forgetful(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=model_card("multi-head") | {"memory_bytes": 0})


def test_a_model_without_memory_is_refused_and_names_those_that_have_one(job, service):
    service.faults = [forgetful]
    with pytest.raises(
        RunError, match=r"multi-head has no memory .*: choose a --model that has: infini$"
    ):
        perform(dataclasses.replace(job, model="multi-head"), service)
    assert service.sessions == {}
    assert not job.part.exists()


@pytest.mark.parametrize(
    ("wrong", "answers", "error"),
    [
        ({"model": "multi-head"}, [forgetful], RunError),
        ({"model": "multi-hed"}, [], NotFound),
        (
            {"session": "no good"},
            [let_pass] * 2 + [lambda _request: problem(400, "invalid_request")],
            Invalid,
        ),
        ({"chunk_chars": 2}, [refuse] * 10_000, TransportError),
    ],
)
def test_a_run_that_failed_at_once_does_not_bind_the_next(job, service, wrong, answers, error):
    service.faults = answers
    with pytest.raises(error):
        perform(dataclasses.replace(job, **wrong), service)
    assert not job.part.exists()
    service.faults = []
    perform(job, service)
    assert rows_of(job.output) == expected()


def test_a_chunk_over_the_limit_of_the_service_says_what_helps(job, service):
    limited(service, 140)
    large = (
        r"chunk 0 of .*book\.txt is too large .*: run again with a smaller --chunk-chars than 100"
    )
    with pytest.raises(RunError, match=large):
        perform(job, service)
    assert not job.part.exists()


def test_a_large_chunk_in_the_middle_says_that_the_journal_is_in_the_way(job, service):
    assert isinstance(job.source, Path)
    job.source.write_text("short. " * 40 + "\x01" * 400)
    limited(service, 500)
    with pytest.raises(RunError, match=r"delete .*\.part and run again with a smaller --chunk-"):
        perform(job, service)
    assert job.part.exists()


def test_advice_does_not_name_a_journal_that_is_removed(job, service):
    explicit = dataclasses.replace(job, session="mine", keep_session=False)
    perform(explicit, service)
    with pytest.raises(RunError) as caught:
        perform(explicit, service)
    assert ".part" not in str(caught.value)
