"""Bounds that come from the configuration, and so are no part of a schema."""

from collections.abc import Sequence
from typing import Any

from service.errors import Unprocessable


def at_most(limit: int, items: Sequence[Any], param: str) -> None:
    """Refuse a list of more than `limit` items.

    Raises:
        Unprocessable: `validation_error` with the limit.
    """
    if len(items) > limit:
        raise Unprocessable(
            "validation_error",
            f"{param}: {len(items)} items; at most {limit} are taken in one request.",
            param,
            {"max_items": limit},
        )
