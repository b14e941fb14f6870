"""Bounds that come from the configuration, and so are no part of a schema."""

from collections.abc import Sequence
from typing import Any

from service.errors import Unprocessable
from service.ports import EncoderPort


def at_most(limit: int, items: Sequence[Any], param: str) -> None:
    """Refuse a list of more than `limit` items.

    Raises:
        Unprocessable: `validation_error` with the limit.
    """
    if len(items) > limit:
        raise Unprocessable(
            "validation_error",
            f"{param}: more than {limit} items, which is the most that is taken in one request.",
            param,
            {"max_items": limit},
        )


async def require_dimensions(encoder: EncoderPort, dimensions: int | None, param: str) -> None:
    """Refuse vectors of another width than the model's; None asks for none.

    Raises:
        Unprocessable: `validation_error`.
    """
    if dimensions is None:
        return
    info = await encoder.info()
    if dimensions != info.dimensions:
        raise Unprocessable(
            "validation_error",
            f"{param}: {info.id} has {info.dimensions} dimensions and cannot be shortened.",
            param,
        )
