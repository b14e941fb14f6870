"""Refusals that sessions and documents without one have in common."""

from service.errors import OUTCOME_UNKNOWN, Conflict, OutcomeUnknown, Unavailable


def model_changed(what: str, model: str, stored: str, current: str) -> Conflict:
    """Return the refusal to go on with other weights than something began with.

    Args:
        what: What it is, e.g. `session s`.
        model: Id of the model.
        stored: Fingerprint it began with.
        current: The model's fingerprint now.
    """
    return Conflict(
        "model_changed",
        f"{what} was begun with another version of model {model}; its memory means nothing to this one",
        extras={"stored_fingerprint": stored, "current_fingerprint": current},
    )


def sent_twice_read_twice(error: Unavailable) -> OutcomeUnknown:
    """Return what ended an append without number or key of which something was, or may have been, committed."""
    return OutcomeUnknown(
        OUTCOME_UNKNOWN,
        f"{error.detail}; chunks of this request may have been committed and would be read twice: read the session's "
        "next_seq before you send them again, and number them with first_seq or send an Idempotency-Key",
        error.param,
        {name: value for name, value in error.extras.items() if name != "retry_after_s"},
    )
