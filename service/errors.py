"""Every error a caller can meet, typed, with its public code.

    ServiceError(code, status)
    ├── BadRequest          400 invalid_request
    ├── NotFound            404 session_not_found, model_not_found
    ├── Conflict            409 sequence_conflict, session_exists, session_completed, request_in_progress,
    │                           model_changed, snapshot_not_kept
    ├── Gone                410 session_deleted, session_expired, session_lost
    ├── PreconditionFailed  412 precondition_failed
    ├── PayloadTooLarge     413 payload_too_large
    ├── UnsupportedMedia    415 unsupported_media_type
    ├── Unprocessable       422 validation_error, input_too_long, token_ids_not_supported, …
    ├── Unauthorized        401 invalid_api_key
    ├── RateLimited         429 rate_limited
    ├── Unavailable         503 overloaded, draining, store_unavailable, model_unavailable, model_failed
    │   ├── OutcomeUnknown      outcome_unknown
    │   └── RoundFull           overloaded, where the next round of forward passes is full
    ├── OutOfStorage        507 out_of_storage
    └── InternalError       500 internal_error

The module knows no HTTP framework: `status` is data that `service.api.problems` renders.
Errors travel between processes, so all of their content is in `args` and pickles.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

MODEL_FAILED: Final = "model_failed"
"""Code of a model that could not be loaded: the others are served, and only a restart can bring it back."""
OUTCOME_UNKNOWN: Final = "outcome_unknown"
"""Code of an append without number or key that was committed in part, or perhaps."""

READ_TOKENS: Final = "read_tokens"
"""Extra of an append that failed: how many tokens were read for it. They count like those of one that did not."""


class ConfigError(Exception):
    """The service cannot start with this configuration; the message says which key and why."""


class ModelLoadError(ConfigError):
    """One model cannot be loaded; the message says which and why. The others can be served without it."""


class ServiceError(Exception):
    """Base of all errors a caller sees.

    Args:
        code: Stable public identifier, e.g. `sequence_conflict`.
        detail: One sentence that says what happened and what to do about it.
        param: Name of the request field at fault, if there is one.
        extras: JSON-ready members merged into the problem document, e.g. `expected_seq`.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal Server Error"
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        code: str,
        detail: str,
        param: str | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, detail, param, dict(extras or {}))

    @property
    def code(self) -> str:
        """Stable public identifier of the error."""
        return str(self.args[0])

    @property
    def detail(self) -> str:
        """What happened and what to do about it."""
        return str(self.args[1])

    @property
    def param(self) -> str | None:
        """The request field at fault."""
        return None if self.args[2] is None else str(self.args[2])

    @property
    def extras(self) -> dict[str, Any]:
        """Members that stand beside the standard ones in the problem document."""
        return dict(self.args[3])

    def with_extras(self, **extras: Any) -> "ServiceError":
        """Return the same error with more members, e.g. how far a request came."""
        return type(self)(self.code, self.detail, self.param, {**self.extras, **extras})


class BadRequest(ServiceError):
    """The request cannot be read: JSON, header or encoding is broken."""

    status = 400
    title = "Bad Request"


class Unauthorized(ServiceError):
    """The API key is missing, unknown, disabled or expired."""

    status = 401
    title = "Unauthorized"


class NotFound(ServiceError):
    """There is no such session or model for this caller."""

    status = 404
    title = "Not Found"


class Conflict(ServiceError):
    """The request contradicts what is stored; sending it again cannot help."""

    status = 409
    title = "Conflict"


class Gone(ServiceError):
    """The session existed and never comes back."""

    status = 410
    title = "Gone"


class PreconditionFailed(ServiceError):
    """`If-Match` names another version than the stored one."""

    status = 412
    title = "Precondition Failed"


class PayloadTooLarge(ServiceError):
    """The body is over a limit; the limit is in the extras."""

    status = 413
    title = "Content Too Large"


class UnsupportedMedia(ServiceError):
    """The body's content type or encoding is not one this route reads."""

    status = 415
    title = "Unsupported Media Type"


class Unprocessable(ServiceError):
    """The request is well formed and says something impossible."""

    status = 422
    title = "Unprocessable Content"


class RateLimited(ServiceError):
    """The caller has used what it may; `retry_after_s` in the extras says when to come again."""

    status = 429
    title = "Too Many Requests"
    retry_after_s = 1


class Unavailable(ServiceError):
    """Come back later; nothing was changed by this call beyond what it reports."""

    status = 503
    title = "Service Unavailable"
    retry_after_s: ClassVar[int | None] = 1


class OutcomeUnknown(Unavailable):
    """Something of this call may have been done, and sending it again would do that twice: look first."""

    retry_after_s = None


class RoundFull(Unavailable):
    """So much runs before anything that comes now that the model would refuse all but the smallest requests, too."""


class OutOfStorage(ServiceError):
    """The disk is full: nothing was stored, reads and deletes still work."""

    status = 507
    title = "Insufficient Storage"


class InternalError(ServiceError):
    """A bug of ours; the trace is in the log under the request id."""
