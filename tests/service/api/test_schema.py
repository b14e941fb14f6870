"""Requests made up from the OpenAPI document: every answer is one that the document promises."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, CheckFunction
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.sessions.session_file import MEDIA_TYPE
from tests.service.api.kit import Api

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
]
schemathesis.serializer.alias(MEDIA_TYPE, "application/octet-stream")
API = Api()
DOCUMENT = schemathesis.openapi.from_asgi("/openapi.json", API.app)
SHORT = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def session() -> None:
    """Open the one session that is there."""
    operation = DOCUMENT["/v1/sessions"]["POST"]
    body: Any = {"model": "infini", "id": "s1"}
    made = operation.Case(body=body, media_type="application/json").call()
    assert made.status_code == 201


@DOCUMENT.parametrize()
@SHORT
def test_every_answer_is_in_the_document(case: Case[Any]) -> None:
    case.call_and_validate(checks=_checks(case))


@DOCUMENT.include(path_regex=r"session_id", method=["GET", "HEAD", "POST"]).parametrize()
@SHORT
def test_so_it_is_for_a_session_that_exists(case: Case[Any]) -> None:
    case.path_parameters["session_id"] = "s1"
    case.call_and_validate(checks=_checks(case))


def _checks(case: Case[Any]) -> list[CheckFunction]:
    # Lines of JSON are no document of it: schemathesis would read the schema of a line in another way.
    lines = case.path.endswith("/stream")
    return CHECKS if lines else [*CHECKS, response_schema_conformance]
