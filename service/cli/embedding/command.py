"""From a job to an exit code: what a run says, and where."""

import signal
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from service.cli.embedding.errors import EmbedError
from service.cli.embedding.job import Job
from service.cli.embedding.progress import ProgressBar
from service.cli.embedding.run import run
from service.client import LongstreamClient, LongstreamError, RetryPolicy

OK: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT


def perform(job: Job, url: str, retry_for_s: float) -> int:
    """Run a job against a service and return the exit code; everything is said on stderr."""
    bar = ProgressBar(Console(stderr=True), _size(job))
    retry = RetryPolicy(retry_for_s=retry_for_s, notify=bar.waiting)
    try:
        with bar, LongstreamClient(url, retry=retry) as client:
            summary = run(job, client, bar)
    except KeyboardInterrupt:
        _say(f"stopped: {_resume(job)}")
        return INTERRUPTED
    except EmbedError as error:
        _say(str(error))
        return FAILED
    except LongstreamError as error:
        _say(f"{url}: {error}; {_resume(job)}")
        return FAILED
    except OSError as error:
        _say(f"{error.filename or job.output}: {error.strerror or error}; {_resume(job)}")
        return FAILED
    fate = f"session {summary.session} {'is kept' if job.keep_session else 'is deleted'}"
    _say(f"{job.output}: {summary.chunks:,} chunks, {summary.tokens:,} tokens; {fate}")
    return OK


def _resume(job: Job) -> str:
    again = "run the same command again"
    if not isinstance(job.source, Path):
        again += " with the same text"
    return f"{again} to go on from {job.part}"


def _say(message: str) -> None:
    typer.echo(f"longstream: {' '.join(message.split())}", err=True)


def _size(job: Job) -> int | None:
    """Return the bytes of the source; None if it is a pipe, or missing, which the run reports."""
    try:
        return job.source.stat().st_size if isinstance(job.source, Path) else None
    except OSError:
        return None
