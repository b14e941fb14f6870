"""Bringing together what belongs together: a job, its journal and its session."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from service.cli.embedding.errors import RunError
from service.cli.embedding.job import Job
from service.cli.embedding.journal import Header, Journal
from service.client import Conflict, Gone, LongstreamClient, NotFound


def attach(job: Job, digest: str | None, journal: Journal, client: LongstreamClient) -> Header:
    """Find or begin the journal and the session of a job.

    Args:
        job: The job.
        digest: SHA-256 of the source; None for a pipe.
        journal: Its journal, perhaps empty.
        client: The service.

    Raises:
        RunError: they are not of this job, or one of them lost what the other has.
        LongstreamError: the service refuses, or stayed away too long.
    """
    header = journal.header
    if header is None:
        dimensions = client.model(job.model).dimensions
        session = job.session or _derived_id(job, digest)
        header = Header(session, job.model, job.chunk_chars, digest, dimensions)
        # Before the session: a crash in between must not leave one that nobody remembers.
        journal.begin(header)
    _require_same_job(job, digest, header)
    if journal.rows:
        _require_known_rows(job, header, journal.rows, client)
        return header
    return _open_session(job, header, journal, client)


@contextmanager
def explained(job: Job, header: Header) -> Iterator[None]:
    """Turn answers that end a run for good into words on what to do.

    Raises:
        RunError: the session is gone, or has read another text.
    """
    try:
        yield
    except Gone as error:
        raise RunError(
            f"session {header.session} is gone ({error.code}): {_begin_again(job)}"
        ) from error
    except NotFound as error:
        raise RunError(
            f"the service does not know session {header.session}: "
            f"start it with its old data, or {_begin_again(job)}"
        ) from error
    except Conflict as error:
        if error.code != "sequence_conflict":
            raise
        raise RunError(
            f"session {header.session} has read another text than {job.name}: "
            f"{error.detail}; {_begin_again(job)}"
        ) from error


def _begin_again(job: Job) -> str:
    return f"delete {job.part} and run again with {'another' if job.session else 'a new'} --session"


def _require_same_job(job: Job, digest: str | None, header: Header) -> None:
    options = {
        "--model": (header.model, job.model),
        "--chunk-chars": (header.chunk_chars, job.chunk_chars),
        "--session": (header.session, job.session or header.session),
    }
    for option, (begun, asked) in options.items():
        if begun != asked:
            raise RunError(
                f"{job.part} was begun with {option} {begun}, not {asked}: use that, "
                f"choose another --output, or delete {job.part} to begin again"
            )
    if header.source_sha256 != digest:
        raise source_changed(job)


def source_changed(job: Job) -> RunError:
    """Return the error of a source that is not the text the journal was begun with."""
    return RunError(
        f"{job.part} was begun with another text than {job.name} is now: restore the text, "
        f"choose another --output, or delete {job.part} to begin again"
    )


def _require_known_rows(job: Job, header: Header, rows: int, client: LongstreamClient) -> None:
    with explained(job, header):
        known = client.next_seq(header.session)
    if known < rows:
        raise RunError(
            f"session {header.session} has read {known} chunks and {job.part} holds {rows}: "
            f"the service lost data; {_begin_again(job)}"
        )


def _open_session(job: Job, header: Header, journal: Journal, client: LongstreamClient) -> Header:
    """Open the session a journal without rows names, or take it up if it is open."""
    try:
        found = client.session(header.session)
    except NotFound:
        _create(job, header, client)
        return header
    except Gone:
        if job.session is not None:
            with explained(job, header):
                raise
        # This very job was done before and its session deleted; the name stays taken.
        fresh = replace(header, session=f"{header.session}-{uuid.uuid4().hex[:8]}")
        journal.begin(fresh)
        _create(job, fresh, client)
        return fresh
    if found.model != job.model:
        raise RunError(f"session {found.id} is read by model {found.model}: {_begin_again(job)}")
    return header


def _create(job: Job, header: Header, client: LongstreamClient) -> None:
    source = job.source.name if isinstance(job.source, Path) else "-"
    metadata = {"source": source, "chunk_chars": header.chunk_chars}
    client.create_session(header.model, header.session, metadata)


def _derived_id(job: Job, digest: str | None) -> str:
    """Return the id that every run of the same job finds by itself; a pipe's is in its journal only."""
    if digest is None:
        return f"embed-{uuid.uuid4().hex}"
    identity = "\0".join([digest, job.model, str(job.chunk_chars), str(job.output.resolve())])
    return f"embed-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
