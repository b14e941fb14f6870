"""Names inside URLs: whatever they are, they stay in their place."""

from urllib.parse import quote

from service.client.errors import invalid


def session_path(session_id: str, below: str = "") -> str:
    """Return the path of a session.

    Raises:
        Invalid: no URL can carry the id.
    """
    return f"/v1/sessions/{_segment(session_id, 'session')}{below}"


def model_path(model_id: str) -> str:
    """Return the path of a model.

    Raises:
        Invalid: no URL can carry the id.
    """
    return f"/v1/models/{_segment(model_id, 'model')}"


def query_text(value: str, name: str) -> str:
    """Return a parameter of a query as it is.

    Raises:
        Invalid: no URL can carry it.
    """
    _quoted(value, name)
    return value


def _segment(name: str, kind: str) -> str:
    if name in {"", ".", ".."}:
        raise invalid(f"{name!r} cannot be the id of a {kind}")
    return _quoted(name, f"id of a {kind}")


def _quoted(value: str, what: str) -> str:
    try:
        return quote(value, safe="")
    except (TypeError, UnicodeEncodeError) as error:
        raise invalid(f"{value!r} cannot be the {what}: {error}") from error
