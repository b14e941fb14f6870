"""JSON bodies into typed requests, in time linear in the body, with errors that never echo it."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from service.errors import BadRequest, ServiceError, Unprocessable
from service.schemas.base import TOKEN_IDS_ERROR

_MOST_ERRORS: Final = 20
_LONGEST_NAME: Final = 64

Body = TypeVar("Body", bound=BaseModel)


def parse_body(model: type[Body], body: bytes) -> Body:
    """Parse and validate a JSON body.

    Unknown members are found before validation: pydantic's one error for each of hundreds of
    thousands of them is what makes a small hostile body expensive.

    Raises:
        BadRequest: not one JSON document in UTF-8; NaN and repeated members included.
        Unprocessable: JSON that the model refuses.
    """
    try:
        # Keys seldom repeat within one body: caching them only costs.
        document = from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise BadRequest("invalid_request", f"The body is not JSON: {error}.") from None
    if isinstance(document, dict):
        _refuse_unknown(document, model)
    try:
        value = model.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "finite_number":
            # 1e400 is JSON by its grammar and yet no number that could be kept.
            raise BadRequest("invalid_request", "A number in the body is out of range.") from None
        raise validation_problem(problems) from None
    # Only known members are left, so this second pass is short.
    json.loads(body, object_pairs_hook=_refuse_repeated)
    return value


def validation_problem(problems: Sequence[Any], count: int | None = None) -> ServiceError:
    """Turn pydantic's errors into one problem whose `errors` name place and rule, not the input.

    Args:
        problems: pydantic's error dictionaries, at least one.
        count: How many there are, if not all are given.
    """
    listed = [
        {
            "loc": [_short(part) for part in problem["loc"]],
            "msg": problem["msg"],
            "type": problem["type"],
        }
        for problem in problems[:_MOST_ERRORS]
    ]
    first = listed[0]
    place = ".".join(map(str, first["loc"])) or "body"
    total = count or len(problems)
    more = f" (and {total - 1} more)" if total > 1 else ""
    code = TOKEN_IDS_ERROR if first["type"] == TOKEN_IDS_ERROR else "validation_error"
    extras = {"errors": listed, "error_count": total}
    return Unprocessable(code, f"{place}: {first['msg']}{more}", place, extras)


def _refuse_unknown(document: dict[str, Any], model: type[BaseModel]) -> None:
    known = {field.alias or name for name, field in model.model_fields.items()}
    unknown = document.keys() - known
    if unknown:
        problems = [
            {"loc": (name,), "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
            for name in islice(unknown, _MOST_ERRORS)
        ]
        raise validation_problem(problems, len(unknown))


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise BadRequest(
            "invalid_request", "The body is ambiguous: an object names a member more than once."
        )


def _short(part: str | int) -> str | int:
    return part if isinstance(part, int) else part[:_LONGEST_NAME]
