"""From a job to an exit code: what a run says, and where."""

import signal
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from service.cli.embedding.errors import EmbedError, ServiceAway
from service.cli.embedding.job import Job
from service.cli.embedding.progress import ProgressBar
from service.cli.embedding.run import run
from service.client import (
    Invalid,
    LongstreamClient,
    LongstreamError,
    NotFound,
    RetryPolicy,
    TransportError,
)
from service.config import client_api_key

OK: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT

FIRST_CONTACT_S: Final = 15.0
"""How long to wait for a service that has not answered yet: most likely nobody started it."""
PATIENCE_S: Final = 300.0
"""How long to wait for one that has: it is being restarted."""


def perform(job: Job, url: str, retry_for_s: float | None) -> int:
    """Run a job against a service and return the exit code; everything is said on stderr.

    Args:
        job: The job.
        url: Where the service is.
        retry_for_s: How long to wait for it, in seconds; None is `FIRST_CONTACT_S` until it has answered
            and `PATIENCE_S` from then on.
    """
    bar = ProgressBar(Console(stderr=True), _size(job))
    first = _retry(bar, url, FIRST_CONTACT_S if retry_for_s is None else retry_for_s)
    later = _retry(bar, url, PATIENCE_S if retry_for_s is None else retry_for_s)
    try:
        with bar, LongstreamClient(url, client_api_key(), retry=later) as client:
            summary = run(job, client, bar, lambda: _greet(url, first))
    except KeyboardInterrupt:
        _say(f"stopped{_resume(job)}")
        return INTERRUPTED
    except ServiceAway as error:
        _say(f"{error}{_resume(job)}")
        return FAILED
    except EmbedError as error:
        _say(str(error))
        return FAILED
    except LongstreamError as error:
        # What is wrong with a request stays wrong, however often it is made.
        final = isinstance(error, Invalid | NotFound)
        _say(f"{url}: {error}{'' if final else _resume(job)}")
        return FAILED
    except OSError as error:
        _say(f"{error.filename or job.output}: {error.strerror or error}{_resume(job)}")
        return FAILED
    fate = f"session {summary.session} {'is kept' if job.keep_session else 'is deleted'}"
    _say(f"{job.output}: {summary.chunks:,} chunks, {summary.tokens:,} tokens; {fate}")
    return OK


def _retry(bar: ProgressBar, url: str, patience_s: float) -> RetryPolicy:
    return RetryPolicy(
        retry_for_s=patience_s,
        notify=lambda error, _seconds: bar.waiting(url, patience_s, error),
    )


def _greet(url: str, retry: RetryPolicy) -> None:
    """Make sure that there is a service.

    Raises:
        ServiceAway: nothing answers.
    """
    with LongstreamClient(url, client_api_key(), retry=retry) as client:
        try:
            client.models()
        except TransportError as error:
            raise ServiceAway(
                f"{url}: {error}: no service answers; start one with `longstream serve`, "
                "or say with --url where it is"
            ) from error
        except LongstreamError:
            # It is there. What it refuses is told by the call that needs it.
            return


def _resume(job: Job) -> str:
    """Return the advice to go on, if there is something to go on from."""
    if not job.part.is_file():
        return ""
    again = "run the same command again"
    if not isinstance(job.source, Path):
        again += " with the same text"
    return f"; {again} to go on from {job.part}"


def _say(message: str) -> None:
    typer.echo(f"longstream: {' '.join(message.split())}", err=True)


def _size(job: Job) -> int | None:
    """Return the bytes of the source; None if it is a pipe, or missing, which the run reports."""
    try:
        return job.source.stat().st_size if isinstance(job.source, Path) else None
    except OSError:
        return None
