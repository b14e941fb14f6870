import secrets
import sys

from service.redaction import bare_trace, session_hash, use_salt

MARKER = "the private text"


def _fail(error: Exception) -> None:
    known: dict[str, str] = {}
    try:
        known[MARKER]
    except KeyError as cause:
        raise error from cause


def _trace(error: Exception) -> str:
    try:
        _fail(error)
    except type(error):
        return bare_trace(*sys.exc_info())
    return ""


def test_a_trace_says_where_and_what_kind_and_nothing_more():
    told = _trace(ValueError(MARKER))
    assert "test_redaction.py" in told
    assert told.endswith("builtins.ValueError")
    assert "builtins.KeyError" in told
    assert MARKER not in told


def test_the_systems_own_words_stay():
    told = _trace(OSError(28, "No space left on device", MARKER))
    assert told.endswith("builtins.OSError: [Errno 28] No space left on device")
    assert MARKER not in told
    assert MARKER not in _trace(OSError(MARKER))


def test_a_trace_of_nothing():
    assert bare_trace(None, None, None).endswith("unknown")


def test_errors_that_cause_each_other_end():
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert bare_trace(ValueError, one, None).count("ValueError") == 2


def test_sessions_have_the_same_name_under_the_same_salt_only():
    salt = secrets.token_hex()
    use_salt(salt)
    name = session_hash("my-session")
    assert name == session_hash("my-session")
    assert "my-session" not in name
    assert len({name, session_hash("my-session2"), session_hash("\ud800")}) == 3
    use_salt("other")
    assert session_hash("my-session") != name
    use_salt(salt)
    assert session_hash("my-session") == name
