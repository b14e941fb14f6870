import inspect
import re
from pathlib import Path

import pytest

import service
from service import errors
from service.api.problems import (
    PROBLEMS,
    Forbidden,
    MethodNotAllowed,
    RequestTimeout,
)
from service.api.refusals import HeadersTooLarge, Misdirected, UriTooLong
from service.errors import ServiceError
from tests.service.api.kit import assert_problem

CLASSES: list[type[ServiceError]] = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ServiceError) and kind is not ServiceError
] + [Forbidden, HeadersTooLarge, MethodNotAllowed, Misdirected, RequestTimeout, UriTooLong]


@pytest.mark.parametrize("code", PROBLEMS)
async def test_every_code_is_rendered_as_the_contract_says(code, client, api):
    row = PROBLEMS[code]
    error = row.error(code, "What to do.", "field", {"expected_seq": 7})

    async def gate() -> None:
        raise error

    api.gate = gate
    answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    body = assert_problem(answer, row.status, code)
    assert body["error"]["type"] == (
        "server_error" if row.status >= 500 else "invalid_request_error"
    )
    retry = "true" if code == "request_in_progress" else "false"
    advised = row.status == 409 or code in {"model_failed", "outcome_unknown"}
    assert answer.headers.get("x-should-retry") == (retry if advised else None)
    assert answer.headers.get("retry-after") == (
        "1" if row.status in {429, 503} and code != "outcome_unknown" else None
    )
    if row.status != 500:
        assert body["expected_seq"] == 7
        assert body["error"]["param"] == "field"
        assert body["detail"] == "What to do."
    else:
        assert "What to do" not in answer.text


async def test_an_opaque_500_still_says_how_far_the_request_came(client, api):
    async def gate() -> None:
        raise errors.InternalError("internal_error", "secret", "p", {"next_seq": 3, "path": "/x"})

    api.gate = gate
    answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    body = assert_problem(answer, 500, "internal_error")
    assert body["next_seq"] == 3
    assert "path" not in body
    assert "secret" not in answer.text


async def test_an_error_may_say_when_to_come_again(client, api):
    async def gate() -> None:
        raise errors.Unavailable("store_unavailable", "x", extras={"retry_after_s": 7})

    api.gate = gate
    answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    assert assert_problem(answer, 503, "store_unavailable")["retry_after_s"] == 7
    assert answer.headers["retry-after"] == "7"


async def test_an_unlisted_code_keeps_its_status(client, api):
    async def gate() -> None:
        raise errors.Conflict("brand_new", "x")

    api.gate = gate
    answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    assert_problem(answer, 409, "brand_new")


async def test_extras_cannot_replace_standard_members(client, api):
    async def gate() -> None:
        raise errors.Conflict("model_changed", "x", None, {"status": 200, "error": "none"})

    api.gate = gate
    answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
    assert_problem(answer, 409, "model_changed")


def test_every_code_raised_in_the_service_is_in_the_table():
    names = "|".join(kind.__name__ for kind in CLASSES)
    raised = re.compile(rf'\b({names})\(\s*"([a-z_]+)"')
    root = Path(service.__file__).parent
    found = {
        (name, code)
        for path in root.rglob("*.py")
        if "client" not in path.relative_to(root).parts
        for name, code in raised.findall(path.read_text(encoding="utf-8"))
    }
    assert len(found) > 10
    by_name = {kind.__name__: kind for kind in CLASSES}
    for name, code in sorted(found):
        assert PROBLEMS[code].error is by_name[name], (name, code)
