import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from service.client import LongstreamClient, RetryPolicy, errors
from service.client.errors import LongstreamError, error_of_response, retry_after_s

STATUSES = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.NotFound,
    408: errors.Unavailable,
    409: errors.Conflict,
    410: errors.Gone,
    412: errors.PreconditionFailed,
    413: errors.PayloadTooLarge,
    415: errors.Invalid,
    422: errors.Invalid,
    429: errors.Unavailable,
    500: errors.ServerError,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
    507: errors.ServerError,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_has_its_class(status, kind):
    assert type(error_of_response(httpx.Response(status))) is kind


def test_a_problem_document_is_read_whole():
    body = {
        "title": "Conflict",
        "status": 409,
        "detail": "a gap",
        "request_id": "abc",
        "expected_seq": 4,
        "provided_seq": 9,
        "next_seq": 4,
        "error": {"message": "a gap", "code": "sequence_conflict"},
    }
    error = error_of_response(httpx.Response(409, json=body))
    assert isinstance(error, errors.Conflict)
    assert (error.status, error.code, error.detail) == (409, "sequence_conflict", "a gap")
    assert (error.expected_seq, error.next_seq, error.request_id) == (4, 4, "abc")
    assert error.problem["provided_seq"] == 9
    assert str(error) == "a gap (sequence_conflict, HTTP 409, request abc)"


@pytest.mark.parametrize("text", ["Bad\n  gateway", "<b>no</b>", '"just a string"'])
def test_a_plain_text_answer_still_says_something(text):
    response = httpx.Response(502, text=text, headers={"X-Request-Id": "r1"})
    error = error_of_response(response)
    assert error.detail == " ".join(text.split())
    assert (error.code, error.request_id) == ("http_502", "r1")


def test_an_empty_answer_says_its_status():
    assert (
        str(error_of_response(httpx.Response(404)))
        == "the service answered 404 (http_404, HTTP 404)"
    )


def test_an_error_survives_pickling():
    error = errors.Conflict(409, "sequence_conflict", "a gap", {"expected_seq": 3}, "r")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is errors.Conflict
    assert (str(again), again.expected_seq) == (str(error), 3)


def test_retry_after_in_seconds_or_as_a_date():
    def asked(value: str) -> float | None:
        return retry_after_s(httpx.Response(503, headers={"Retry-After": value}))

    assert asked("3") == 3.0
    assert asked("soon") is None
    assert asked("") is None
    later = datetime.now(UTC) + timedelta(seconds=30)
    assert asked(format_datetime(later, usegmt=True)) == pytest.approx(30, abs=2)
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert asked("Mon, 01 Jan 99999999999999999999 00:00:00 GMT") is None
    assert asked("Mon, 01 Jan 2024 00:00:00 +9999999999999") is None


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_is_nested_too_deep_is_an_error_of_ours(status):
    deep = httpx.MockTransport(lambda _: httpx.Response(status, content=b"[" * 100_000))
    with (
        LongstreamClient(transport=deep, retry=RetryPolicy(retry_for_s=0)) as client,
        pytest.raises(LongstreamError),
    ):
        client.models()


def test_timeouts_and_broken_connections_are_told_apart():
    assert errors.error_of_transport(httpx.ReadTimeout("")).code == "timeout"
    broken = errors.error_of_transport(httpx.ConnectError("refused"))
    assert (broken.code, broken.detail) == ("connection_failed", "refused")
    assert isinstance(broken, LongstreamError)
    numbered = errors.error_of_transport(httpx.ConnectError("[Errno 111] Connection refused"))
    assert numbered.detail == "Connection refused"
