"""What an encoder process measures: its queue, its batches, its sessions."""

from collections.abc import Callable
from typing import Protocol

from service.metrics import catalogue
from service.metrics.process import ProcessMetrics


class Stages(Protocol):
    """Seconds per stage; `service.ports.StageTimes` is one."""

    @property
    def tokenize(self) -> float:
        """Seconds in `tokenize`."""
        ...

    @property
    def queue(self) -> float:
        """Seconds in `queue`."""
        ...

    @property
    def infer(self) -> float:
        """Seconds in `infer`."""
        ...

    @property
    def persist(self) -> float:
        """Seconds in `persist`."""
        ...


class EncoderMetrics(ProcessMetrics):
    """Metrics of one encoder process.

    Args:
        model: Id of the model it serves.
        backend: Kind of the session store, e.g. `sqlite`.
    """

    def __init__(self, model: str, backend: str = "sqlite") -> None:
        super().__init__(backend)
        stages = self._histogram(catalogue.STAGE_DURATION)
        self._stages = {stage: stages.labels(model, stage) for stage in catalogue.STAGES}
        self._batch_tokens = self._histogram(catalogue.BATCH_TOKENS).labels(model)
        self._batch_sequences = self._histogram(catalogue.BATCH_SEQUENCES).labels(model)
        self._queue_depth = self._gauge(catalogue.QUEUE_DEPTH).labels(model)
        self._queue_wait = self._histogram(catalogue.QUEUE_WAIT).labels(model)
        tokens = self._counter(catalogue.TOKENS)
        self._tokens = {kind: tokens.labels(model, kind) for kind in catalogue.TOKEN_KINDS}
        self._truncated = self._counter(catalogue.TRUNCATED_TOKENS).labels(model)
        appends = self._histogram(catalogue.SESSION_APPEND_DURATION)
        self._appends = {label: appends.labels(model, label) for label, _ in catalogue.POSITIONS}
        self._state_bytes = self._gauge(catalogue.SESSION_STATE_BYTES).labels(model)
        self._hot_bytes = self._gauge(catalogue.HOT_STATE_BYTES).labels(model)
        self._index_bytes = self._gauge(catalogue.INDEX_BYTES).labels(model)
        self._load_seconds = self._gauge(catalogue.MODEL_LOAD).labels(model)

    def stage(self, times: Stages) -> None:
        """Observe where one encoder call's time went."""
        for name, child in self._stages.items():
            child.observe(getattr(times, name))

    def batch(self, tokens: int, sequences: int) -> None:
        """Observe one forward pass."""
        self._batch_tokens.observe(tokens)
        self._batch_sequences.observe(sequences)

    def queue_depth(self, tokens: Callable[[], float]) -> None:
        """Export the number of waiting tokens, asked for at each scrape."""
        self._queue_depth.set_function(tokens)

    def queue_wait(self, seconds: float) -> None:
        """Observe how long a piece of work waited for its forward pass."""
        self._queue_wait.observe(seconds)

    def tokens(self, kind: str, count: int) -> None:
        """Count encoded tokens; `kind` is one of `catalogue.TOKEN_KINDS`."""
        self._tokens[kind].inc(count)

    def truncated(self, count: int) -> None:
        """Count tokens dropped because the caller asked to truncate."""
        self._truncated.inc(count)

    def appended(self, position_tokens: int, tokens: int, seconds: float) -> None:
        """Observe the reading of one chunk, and count its tokens.

        Args:
            position_tokens: Tokens its session had read before.
            tokens: Tokens of the chunk.
            seconds: From the start of its work to its commit.
        """
        self.tokens("session", tokens)
        self._appends[catalogue.position_label(position_tokens)].observe(seconds)

    def session_state_bytes(self, size: int) -> None:
        """Export the size of one session's encoded state."""
        self._state_bytes.set(size)

    def hot_state_bytes(self, size: Callable[[], float]) -> None:
        """Export the size of the states kept in memory, asked for at each scrape."""
        self._hot_bytes.set_function(size)

    def index_bytes(self, size: Callable[[], float]) -> None:
        """Export the size of the chunk vectors kept in memory, asked for at each scrape."""
        self._index_bytes.set_function(size)

    def loaded(self, seconds: float) -> None:
        """Export how long the model took to load."""
        self._load_seconds.set(seconds)
