"""The published document is frozen: a change of the contract shows as a change of `openapi.json`.

To accept one, write it anew and review the difference:

    python -m tests.service.api.test_openapi
"""

import json
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute

from service.api.app import _ROUTERS
from service.api.tei_errors import TEI_PATHS
from service.sessions.names import SESSION_ID
from tests.service.api.kit import Api

CREATING = {"create_session", "fork_session", "import_session"}
FROZEN = Path(__file__).parents[2] / "data" / "openapi.json"


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(Api().app.openapi()))
    return document


async def test_the_document_is_the_frozen_one(client):
    served = (await client.get("/openapi.json")).json()
    assert served == json.loads(FROZEN.read_text(encoding="utf-8")), __doc__


def test_every_route_is_documented_with_its_bodies_and_errors():
    document = _document()
    operations = {
        (path, method.upper()): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    routes = {
        (route.path, method)
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert routes == set(operations)
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids))
    for (path, method), operation in operations.items():
        responses = operation["responses"]
        errors = "application/json" if path in TEI_PATHS else "application/problem+json"
        assert errors in responses["default"]["content"], path
        assert "422" not in responses
        if method == "POST":
            assert operation["requestBody"]["content"], path
        if method in {"GET", "POST"}:
            code = "201" if operation["operationId"] in CREATING else "200"
            schemas = [content["schema"] for content in responses[code]["content"].values()]
            assert all({"$ref", "type", "anyOf"} & set(schema) for schema in schemas), path


def test_all_references_lead_somewhere():
    document = _document()
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(schemas)
    assert "HTTPValidationError" not in schemas
    parameter = document["paths"]["/v1/sessions/{session_id}"]["get"]["parameters"][0]
    assert parameter["schema"]["pattern"] == SESSION_ID.pattern
    assert SESSION_ID.pattern in json.dumps(schemas["CreateSessionRequest"]["properties"]["id"])
    assert schemas["AppendRequest"]["additionalProperties"] is False
    assert set(schemas["AppendRequest"]["properties"]) == {
        "chunks",
        "first_seq",
        "return",
        "encoding_format",
    }


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(_document(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
