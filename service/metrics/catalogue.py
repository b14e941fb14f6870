"""Every metric longstream exports, in one place: name, help, labels, buckets.

Dashboards, alert rules and documentation are checked against `CATALOGUE`. Label values are closed
sets that this module also lists; no session, tenant or text is ever a label.
"""

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "longstream_"
OTHER: Final = "other"
"""Counted in place of a label value that is in none of the sets below."""

STAGES: Final = ("tokenize", "queue", "infer", "persist")
TOKEN_KINDS: Final = ("stateless", "session", "revisit")
SESSION_EVENTS: Final = (
    "create",
    "append",
    "replay",
    "conflict",
    "complete",
    "delete",
    "lost",
    "recover",
    "evict",
    "fork",
    "export",
    "import",
    "expire",
    "forget",
)
REJECT_REASONS: Final = (
    "overloaded",
    "draining",
    "payload_too_large",
    "request_timeout",
    "store_unavailable",
    "model_unavailable",
    "model_failed",
    "outcome_unknown",
    "out_of_storage",
    "invalid_api_key",
    "rate_limited",
)
STREAM_ERROR_CODES: Final = ("400", "408", "409", "410", "500", "503", "507")
STORE_OPERATIONS: Final = (
    "begin",
    "request",
    "traits",
    "snapshots",
    "snapshot",
    "get",
    "get_with_state",
    "commit",
    "complete",
    "chunks",
    "key",
    "bury",
    "quarantine",
    "due",
    "count",
    "forget",
    "list",
    "ping",
)
POSITIONS: Final = (
    ("0", 0),
    ("1e3", 10**3),
    ("1e4", 10**4),
    ("1e5", 10**5),
    ("1e6", 10**6),
    ("1e7", 10**7),
)
"""Label and lowest token of each decade a chunk can stand in."""

_REQUEST_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STORE_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_BATCH_TOKENS: Final = (64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0)
_BATCH_SEQUENCES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Attributes:
        name: Full name; counters end in `_total`.
        kind: Prometheus type.
        help: One sentence for the `# HELP` line.
        labels: Label names.
        buckets: Upper bounds of a histogram, `+Inf` left out.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, "gauge", text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(PREFIX + name, "histogram", text, labels, buckets)


HTTP_REQUESTS: Final = _counter(
    "http_requests_total", "Requests answered.", "route", "method", "code"
)
HTTP_REQUEST_DURATION: Final = _histogram(
    "http_request_duration_seconds",
    "Time from the request's head to the last byte of its response.",
    _REQUEST_SECONDS,
    "route",
)
STAGE_DURATION: Final = _histogram(
    "stage_duration_seconds",
    "Time one encoder call spent in a stage.",
    _REQUEST_SECONDS,
    "model",
    "stage",
)
BATCH_TOKENS: Final = _histogram(
    "batch_tokens", "Tokens in one forward pass.", _BATCH_TOKENS, "model"
)
BATCH_SEQUENCES: Final = _histogram(
    "batch_sequences", "Sequences in one forward pass.", _BATCH_SEQUENCES, "model"
)
QUEUE_DEPTH: Final = _gauge("queue_depth", "Tokens waiting for a forward pass.", "model")
QUEUE_WAIT: Final = _histogram(
    "queue_wait_seconds", "Time work waited for its forward pass.", _REQUEST_SECONDS, "model"
)
STREAM_ERRORS: Final = _counter(
    "stream_errors_total",
    "Streams that ended with an error event, by the status it names; their HTTP status is 200.",
    "code",
)
REJECTED: Final = _counter(
    "rejected_total", "Requests that were not done, or not to their end, for this reason.", "reason"
)
TOKENS: Final = _counter("tokens_total", "Tokens encoded.", "model", "kind")
TRUNCATED_TOKENS: Final = _counter(
    "truncated_tokens_total", "Tokens dropped because the caller asked to truncate.", "model"
)
SESSION_EVENTS_TOTAL: Final = _counter(
    "session_events_total", "What happened to sessions, per chunk for append and replay.", "event"
)
SESSION_APPEND_DURATION: Final = _histogram(
    "session_append_duration_seconds",
    "Time to read one chunk, by the decade of tokens its session had read before.",
    _REQUEST_SECONDS,
    "model",
    "position",
)
SESSION_STATE_BYTES: Final = _gauge(
    "session_state_bytes", "Size of one session's encoded state, whatever its length.", "model"
)
HOT_STATE_BYTES: Final = _gauge(
    "hot_state_bytes", "Session states kept in memory beside the store.", "model"
)
INDEX_BYTES: Final = _gauge(
    "index_bytes", "Chunk vectors of searched sessions kept in memory beside the store.", "model"
)
STORE_OPERATION_DURATION: Final = _histogram(
    "store_operation_duration_seconds",
    "Time of one session store operation.",
    _STORE_SECONDS,
    "op",
    "backend",
)
STORE_ERRORS: Final = _counter(
    "store_errors_total", "Session store operations that raised.", "op", "backend"
)
STORE_CIRCUIT_OPEN: Final = _gauge(
    "store_circuit_open",
    "1 while the session store does not answer and is not asked, else 0.",
    "backend",
)
STATE_CHECKSUM_FAILURES: Final = _counter(
    "state_checksum_failures_total", "Sessions of which a stored row or state did not verify."
)
PROCESS_RESIDENT_MEMORY: Final = _gauge(
    "process_resident_memory_bytes", "Resident memory of the process."
)
MODEL_LOAD: Final = _gauge("model_load_seconds", "Time it took to load the model.", "model")
BUILD_INFO: Final = _gauge("build_info", "Always 1; the version is the label.", "version")

CATALOGUE: Final = (
    HTTP_REQUESTS,
    HTTP_REQUEST_DURATION,
    STAGE_DURATION,
    BATCH_TOKENS,
    BATCH_SEQUENCES,
    QUEUE_DEPTH,
    QUEUE_WAIT,
    STREAM_ERRORS,
    REJECTED,
    TOKENS,
    TRUNCATED_TOKENS,
    SESSION_EVENTS_TOTAL,
    SESSION_APPEND_DURATION,
    SESSION_STATE_BYTES,
    HOT_STATE_BYTES,
    INDEX_BYTES,
    STORE_OPERATION_DURATION,
    STORE_ERRORS,
    STORE_CIRCUIT_OPEN,
    STATE_CHECKSUM_FAILURES,
    PROCESS_RESIDENT_MEMORY,
    MODEL_LOAD,
    BUILD_INFO,
)


def position_label(tokens_before: int) -> str:
    """Return the decade label of a chunk whose session had read `tokens_before` tokens."""
    label = POSITIONS[0][0]
    for name, lowest in POSITIONS:
        if tokens_before >= lowest:
            label = name
    return label
