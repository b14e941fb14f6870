"""What can go wrong with a benchmark before it has a figure to show."""


class BenchError(Exception):
    """A benchmark cannot run or cannot be believed; the message says what to do."""
