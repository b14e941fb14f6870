"""What can go wrong with an evaluation, typed."""

from pathlib import Path

from models.errors import ModelError


class EvaluationError(ModelError):
    """The evaluation cannot be done, or its result cannot be trusted; the message says why."""


class DataError(EvaluationError):
    """A file of an evaluation set is missing or not of its shape.

    Args:
        file: The file.
        problem: What is wrong with it.
        line: Number of the line at fault, from 1; None if it is the file as a whole.
    """

    def __init__(self, file: Path, problem: str, line: int | None = None) -> None:
        where = f"{file}" if line is None else f"{file}:{line}"
        super().__init__(f"{where}: {problem}")
        self.file = file
        self.line = line
