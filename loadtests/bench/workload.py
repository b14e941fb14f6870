"""Workloads as data: a small YAML file says what is sent, how long it is, and when.

    kind: texts
    seed: 7
    requests: 96
    texts: 32
    tokens: {kind: lognormal, median: 60, sigma: 0.8, min: 3, max: 254}
    arrivals: {kind: poisson, per_s: 2}

Lengths are tokens of the text itself, without CLS and SEP.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from loadtests.bench.errors import BenchError

FOLDER: Final = Path(__file__).parents[1] / "workloads"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FixedLength(_Frozen):
    """Every text has the same length."""

    kind: Literal["fixed"]
    tokens: int = Field(ge=1, le=510)


class LognormalLength(_Frozen):
    """Many short texts and a few long ones."""

    kind: Literal["lognormal"]
    median: float = Field(gt=0)
    sigma: float = Field(gt=0)
    """Standard deviation of the logarithm."""
    min: int = Field(ge=1)
    max: int = Field(le=510)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min > self.max:
            raise ValueError("min must not be over max")
        return self


Length = Annotated[FixedLength | LognormalLength, Field(discriminator="kind")]


class Poisson(_Frozen):
    """Independent requests, so many a second on average."""

    kind: Literal["poisson"]
    per_s: float = Field(gt=0)


class Even(_Frozen):
    """One request after the other at the same distance."""

    kind: Literal["even"]
    per_s: float = Field(gt=0)


class Paced(_Frozen):
    """Each session sends at a distance of its own; their starts are spread over one distance."""

    kind: Literal["paced"]
    every_s: float = Field(gt=0)


class TextsWorkload(_Frozen):
    """Stateless requests."""

    kind: Literal["texts"]
    seed: int
    requests: int = Field(ge=1, le=100_000)
    texts: int = Field(default=1, ge=1, le=2048)
    """Texts of a request."""
    tokens: Length
    arrivals: Annotated[Poisson | Even, Field(discriminator="kind")] | None = None
    """When requests are meant to start; without it, one after the other only."""


class Forks(_Frozen):
    """Sessions that begin where another stands."""

    after: int = Field(ge=1)
    """Requests of the parent before it is forked."""
    children: int = Field(ge=1)
    requests: int = Field(ge=1)
    """Requests of each child."""


class SessionsWorkload(_Frozen):
    """Documents that are read through sessions, each consecutive text of the book from a place of its own."""

    kind: Literal["sessions"]
    seed: int
    sessions: int = Field(ge=1, le=10_000)
    requests: int = Field(ge=1)
    """Requests of a session."""
    chunks: int = Field(default=1, ge=1, le=256)
    """Chunks of a request."""
    tokens: Length
    """Of a chunk; a chunk ends with a whole word, so it may be a few tokens shorter."""
    arrivals: Paced | None = None
    forks: Forks | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.forks is not None and self.forks.after > self.requests:
            raise ValueError("forks.after must not be over requests")
        return self


Workload = TextsWorkload | SessionsWorkload
_READER: Final[TypeAdapter[Workload]] = TypeAdapter(
    Annotated[TextsWorkload | SessionsWorkload, Field(discriminator="kind")]
)


def load_workload(name: str, folder: Path = FOLDER) -> Workload:
    """Read a workload's data file.

    Args:
        name: File name without `.yaml`.
        folder: Where it lies.

    Raises:
        BenchError: there is no such file, or it is not a workload; the message names every wrong key.
    """
    file = folder / f"{name}.yaml"
    try:
        return _READER.validate_python(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, yaml.YAMLError) as error:
        known = ", ".join(sorted(found.stem for found in folder.glob("*.yaml")))
        raise BenchError(f"cannot read workload {name}: {error}; there are {known}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise BenchError(f"{file.name} is no workload: {problems}") from error
