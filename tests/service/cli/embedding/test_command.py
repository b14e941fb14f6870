"""Services that refuse, are away or were never there, and what the command says."""

from pathlib import Path

from tests.service.cli.embedding.kit import invoke, let_pass
from tests.service.cli.serving import served
from tests.service.client.fake import FakeService, busy


def test_a_conflict_is_one_line_and_exit_code_1(book):
    service = FakeService()
    with served(service) as url:
        assert invoke(book, "--session", "mine", "--url", url).exit_code == 0
        Path("other.txt").write_text("Another text.")
        result = invoke("other.txt", "--session", "mine", "--url", url)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "session mine has read another text than other.txt" in result.stderr


def test_a_service_that_is_not_there_is_one_line_that_says_how_to_start_one(book):
    url = "http://127.0.0.1:9"
    result = invoke(book, "--retry-for", 0, "--url", url)
    assert result.exit_code == 1
    assert result.stderr == (
        f"longstream: {url}: Connection refused (connection_failed): no service answers; "
        "start one with `longstream serve`, or say with --url where it is\n"
    )
    assert not Path("book.txt.jsonl.part").exists()


def test_a_service_that_never_answered_is_not_waited_for_long(book, monkeypatch):
    monkeypatch.setattr("service.cli.embedding.command.FIRST_CONTACT_S", 0.3)
    result = invoke(book, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    first, last = result.stderr.splitlines()
    assert first == "longstream: waiting up to 0.3 s for http://127.0.0.1:9: Connection refused"
    assert "longstream serve" in last


def test_a_service_that_answered_once_is_waited_for_longer(book, monkeypatch):
    monkeypatch.setattr("service.cli.embedding.command.FIRST_CONTACT_S", 0.0)
    service = FakeService(faults=[let_pass] * 5 + [busy] * 4)
    with served(service) as url:
        result = invoke(book, "--url", url)
    assert result.exit_code == 0, result.stderr
    waited, _ = result.stderr.splitlines()
    assert waited == f"longstream: waiting up to 300 s for {url}: about draining"


def test_a_service_that_is_away_later_leaves_what_to_go_on_from(book):
    service = FakeService(faults=[let_pass] * 5 + [busy] * 100)
    with served(service) as url:
        result = invoke(book, "--retry-for", 0, "--url", url)
        assert result.exit_code == 1
        assert result.stderr.endswith(
            "; run the same command again to go on from book.txt.jsonl.part\n"
        )
        service.faults = []
        assert invoke(book, "--url", url).exit_code == 0


def test_an_address_that_is_none_is_one_line(book):
    result = invoke(book, "--url", "http://[bad")
    assert result.exit_code == 1
    assert result.stderr.startswith("longstream: http://[bad: ")
    assert result.stderr.count("\n") == 1
