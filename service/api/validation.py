"""JSON bodies into typed requests, in time linear in the body, with errors that never echo it."""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from service.api.limits import at_most
from service.errors import BadRequest, ServiceError, Unprocessable
from service.schemas.base import TOKEN_IDS_ERROR

_MOST_ERRORS: Final = 20
_LONGEST_NAME: Final = 64

Body = TypeVar("Body", bound=BaseModel)


class _Nested(NamedTuple):
    """What a field holds that is dear to validate.

    Attributes:
        name: The field's name in a body.
        model: Model of the objects in it; None for lists of lists.
    """

    name: str
    model: type[BaseModel] | None


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector from looking through each ten thousand new values again: JSON has no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collections()
def parse_body(model: type[Body], body: bytes, most_items: int) -> Body:
    """Parse and validate a JSON body.

    Unknown members and lists of too many objects or lists are found before validation: pydantic's one
    error for each of hundreds of thousands of them is what makes a small hostile body expensive.

    Args:
        model: What the body must be.
        body: JSON.
        most_items: Most objects, or lists, in the lists of one field.

    Raises:
        BadRequest: not one JSON document in UTF-8; NaN and repeated members included.
        Unprocessable: JSON that the model refuses, or too many items.
    """
    try:
        # Keys seldom repeat within one body: caching them only costs.
        document = from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise BadRequest("invalid_request", f"The body is not JSON: {error}.") from None
    if isinstance(document, dict):
        _refuse_early([((), document)], model, most_items)
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


_Place = tuple[str | int, ...]


def _refuse_early(
    objects: Sequence[tuple[_Place, dict[str, Any]]], model: type[BaseModel], most_items: int
) -> None:
    """Refuse what is dear in objects of one model, each with its place, and then in those inside them."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    for place, found in objects:
        _refuse_unknown(found, known, place)
    for name, inner in _nested(model):
        values = [((*place, name), found[name]) for place, found in objects if name in found]
        where = ".".join(map(str, values[0][0])) if values else name
        items = list(islice(_items(values), most_items + 1))
        at_most(most_items, items, where)
        if inner is not None:
            _refuse_early([one for one in items if isinstance(one[1], dict)], inner, most_items)


def _items(values: Sequence[tuple[_Place, Any]]) -> Iterator[tuple[_Place, Any]]:
    for place, value in values:
        if isinstance(value, list):
            yield from (((*place, index), item) for index, item in enumerate(value))
        else:
            yield place, value


@cache
def _nested(model: type[BaseModel]) -> tuple[_Nested, ...]:
    """Return the fields of a model that hold objects, lists of them, or lists of lists."""
    return tuple(
        _Nested(field.alias or name, inner)
        for name, field in model.model_fields.items()
        for inner, lists in [_inside(field.annotation)]
        if inner is not None or lists > 1
    )


def _inside(annotation: Any) -> tuple[type[BaseModel] | None, int]:
    """Return the model that a type holds, if it does, and how deep its lists are."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, 0
    inner = [_inside(part) for part in get_args(annotation)]
    models = [model for model, _ in inner if model is not None]
    lists = max((deep for _, deep in inner), default=0)
    return next(iter(models), None), lists + (get_origin(annotation) is list)


def _refuse_unknown(found: dict[str, Any], known: set[str], place: _Place) -> None:
    unknown = found.keys() - known
    if unknown:
        problems = [
            {
                "loc": (*place, name),
                "msg": "Extra inputs are not permitted",
                "type": "extra_forbidden",
            }
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
