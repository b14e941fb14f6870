"""Bringing together what belongs together: a job, its journal and its session."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.cli.embedding.errors import RunError
from service.cli.embedding.job import Job
from service.cli.embedding.journal import Header, Journal
from service.client import Conflict, Gone, LongstreamClient, Model, NotFound


def attach(job: Job, digest: str | None, journal: Journal, client: LongstreamClient) -> Header:
    """Find or begin the journal and the session of a job.

    Only rows bind a journal to what it was begun with; without any, it is begun anew.

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
    if header is not None and journal.rows:
        _require_same_job(job, digest, header)
        _require_known_rows(job, header, journal.rows, client)
        return header
    model = client.model(job.model)
    if model.memory_bytes == 0:
        raise _forgetful(model, client)
    session = _open_session(job, job.session or _derived_id(job, digest), client)
    header = Header(session, job.model, job.chunk_chars, digest, model.dimensions)
    journal.begin(header)
    return header


@contextmanager
def explained(job: Job, session: str, rows: int) -> Iterator[None]:
    """Turn answers that end a run for good into words on what to do.

    Args:
        job: The job.
        session: The session that is asked.
        rows: Rows of the journal.

    Raises:
        RunError: the session is gone, or has read another text.
    """
    try:
        yield
    except Gone as error:
        raise RunError(
            f"session {session} is gone ({error.code}): {_begin_again(job, rows)}"
        ) from error
    except NotFound as error:
        raise RunError(
            f"the service does not know session {session}: "
            f"start it with its old data, or {_begin_again(job, rows)}"
        ) from error
    except Conflict as error:
        if error.code != "sequence_conflict":
            raise
        raise RunError(
            f"session {session} has read another text than {job.name}: "
            f"{error.detail}; {_begin_again(job, rows)}"
        ) from error


def _begin_again(job: Job, rows: int) -> str:
    # A journal without rows is gone when the run ends.
    again = f"delete {job.part} and run again" if rows else "run again"
    return f"{again} with {'another' if job.session else 'a new'} --session"


def _forgetful(model: Model, client: LongstreamClient) -> RunError:
    fit = ", ".join(served.id for served in client.models() if served.memory_bytes)
    advice = f"choose a --model that has: {fit}" if fit else "the service has none with a memory"
    return RunError(f"model {model.id} has no memory of what came before: {advice}")


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
    with explained(job, header.session, rows):
        known = client.next_seq(header.session)
    if known < rows:
        raise RunError(
            f"session {header.session} has read {known} chunks and {job.part} holds {rows}: "
            f"the service lost data; {_begin_again(job, rows)}"
        )


def _open_session(job: Job, session: str, client: LongstreamClient) -> str:
    """Open a session, or take it up if it is open; return its id, which may be another."""
    try:
        found = client.session(session)
    except NotFound:
        return _created(job, session, client)
    except Gone:
        if job.session is not None:
            with explained(job, session, rows=0):
                raise
        # This very job was done before and its session deleted; the name stays taken.
        return _created(job, f"{session}-{uuid.uuid4().hex[:8]}", client)
    if found.model != job.model:
        raise RunError(f"session {session} is read by model {found.model}: {_begin_again(job, 0)}")
    return session


def _created(job: Job, session: str, client: LongstreamClient) -> str:
    source = job.source.name if isinstance(job.source, Path) else "-"
    metadata = {"source": source, "chunk_chars": job.chunk_chars}
    return client.create_session(job.model, session, metadata).id


def _derived_id(job: Job, digest: str | None) -> str:
    """Return the id that every run of the same job finds by itself; a pipe's is in its journal only."""
    if digest is None:
        return f"embed-{uuid.uuid4().hex}"
    identity = "\0".join([digest, job.model, str(job.chunk_chars), str(job.output.resolve())])
    return f"embed-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
