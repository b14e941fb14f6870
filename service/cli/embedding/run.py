"""One run of `longstream embed`: from text to output, resumable at every point.

The service keeps what it has read and the journal what it has answered. Whichever of the two dies, the next
run sends again from the first row that the journal lacks; what the service knows already comes back replayed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path

from service.cli.embedding.attach import attach, explained, source_changed
from service.cli.embedding.batches import batches_of
from service.cli.embedding.errors import RunError
from service.cli.embedding.formats import write_output
from service.cli.embedding.job import Job, Report, Status, Summary
from service.cli.embedding.journal import Header, Journal, Row
from service.cli.embedding.source import TextReader, chunks_of, file_sha256
from service.client import AppendResult, Gone, LongstreamClient, NotFound, PayloadTooLarge


def run(job: Job, client: LongstreamClient, report: Report, greet: Callable[[], None]) -> Summary:
    """Embed a text; after whatever went wrong, call it again with the same job.

    Args:
        job: What to do.
        client: The service.
        report: Told how far the run is.
        greet: Called before the service is first asked, when everything on this side is in order.

    Raises:
        RunError: source, journal and service do not belong together.
        SourceError: the source cannot be read.
        JournalError: the journal cannot be used.
        LongstreamError: the service refuses, or stayed away too long.
        OSError: the file system refuses.
    """
    digest = file_sha256(job.source) if isinstance(job.source, Path) else None
    with Journal(job.part) as journal:
        greet()
        header = attach(job, digest, journal, client)
        with _opened(job) as stream:
            reader = TextReader(stream, job.name)
            status = _Reading(job, header, journal, client, report).read(reader)
        if digest is not None and reader.sha256 != digest:
            raise source_changed(job)
        write_output(journal, job.output, header.dimensions)
        journal.remove()
    if not job.keep_session:
        with suppress(NotFound, Gone):
            client.delete(header.session)
    return Summary(header.session, status.chunks, status.tokens)


class _Reading:
    """Brings the journal to the end of the text."""

    def __init__(
        self, job: Job, header: Header, journal: Journal, client: LongstreamClient, report: Report
    ) -> None:
        self._job = job
        self._header = header
        self._journal = journal
        self._client = client
        self._report = report
        self._status = Status()

    def read(self, reader: TextReader) -> Status:
        chunks = chunks_of(reader, self._job.chunk_chars)
        self._skip(chunks)
        for batch in batches_of(chunks, self._job.batch):
            self._send(batch)
        return self._status

    def _skip(self, chunks: Iterator[str]) -> None:
        """Pass over what an earlier run has in the journal, making sure that it is the same text."""
        for row in self._journal.read():
            if next(chunks, None) != row.text:
                raise source_changed(self._job)
            self._advance([row], resumed=True)

    def _send(self, texts: list[str]) -> None:
        try:
            result = self._asked(texts)
        except PayloadTooLarge as error:
            if len(texts) == 1:
                raise self._too_large(error) from error
            # A service may be set up with a lower limit than usual.
            self._send(texts[: len(texts) // 2])
            self._send(texts[len(texts) // 2 :])
            return
        rows = [
            Row(chunk.seq, text, chunk.embedding, chunk.tokens, chunk.token_start, chunk.token_end)
            for text, chunk in zip(texts, result.chunks, strict=True)
        ]
        for row in rows:
            if row.embedding.shape != (self._header.dimensions,):
                raise RunError(
                    f"model {self._header.model} has {self._header.dimensions} dimensions and "
                    f"answered with {row.embedding.size}"
                )
        self._journal.append(rows)
        self._advance(rows, resumed=False)

    def _asked(self, texts: list[str]) -> AppendResult:
        rows = self._journal.rows
        with explained(self._job, self._header.session, rows):
            return self._client.append(self._header.session, texts, rows)

    def _too_large(self, error: PayloadTooLarge) -> RunError:
        first = f"delete {self._job.part} and " if self._journal.rows else ""
        return RunError(
            f"chunk {self._journal.rows} of {self._job.name} is too large for the service: "
            f"{first}run again with a smaller --chunk-chars than {self._job.chunk_chars} "
            f"({error.detail})"
        )

    def _advance(self, rows: list[Row], *, resumed: bool) -> None:
        self._status = self._status.plus(rows, resumed=resumed)
        self._report(self._status)


@contextmanager
def _opened(job: Job) -> Iterator[BufferedIOBase]:
    if isinstance(job.source, Path):
        with job.source.open("rb") as stream:
            yield stream
    else:
        yield job.source
