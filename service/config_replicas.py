"""The configuration's word on how many processes serve a model: a number, or a range to move in."""

from typing import Annotated, Any, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from service.config_access import FrozenSection


class ReplicaRange(FrozenSection):
    """As many processes as the work asks for."""

    min: int = Field(default=1, ge=1, le=256)
    """Processes that are always there, and that the service starts with."""
    max: int = Field(ge=1, le=256)
    """Most processes."""
    queued_tokens: int = Field(default=8192, ge=256)
    """Tokens that may wait for each process, a request counting with one step; while more do, or many are refused,
    processes are added."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max is {self.max}, below min, which is {self.min}")
        return self


def _form(value: Any) -> str:
    return "range" if isinstance(value, dict | ReplicaRange) else "number"


Replicas: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=256), Tag("number")] | Annotated[ReplicaRange, Tag("range")],
    Discriminator(_form),
]
"""A number, or a range. Told apart before they are read, so that a mistake has one message and not one of each."""
