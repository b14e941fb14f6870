"""Refusals that sessions and documents without one have in common."""

from service.errors import Conflict


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
