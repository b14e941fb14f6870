import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from service.access.keys import KeyEntry, new_key, opens, split_key
from service.config_access import RateLimits
from tests.service.access.clock import EPOCH

DIGEST = "0" * 64


def made(**changes: object) -> tuple[KeyEntry, str]:
    entry, key = new_key("acme", "api", None, RateLimits(), EPOCH)
    return entry.model_copy(update=changes), key


def test_only_the_digest_of_a_secret_is_kept():
    entry, key = made()
    prefix, key_id, secret = key.split("_", 2)
    assert (prefix, key_id) == ("lsk", entry.id)
    assert len(secret) == 43  # 256 bits in base64
    assert entry.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in entry.model_dump_json()


def test_no_two_keys_are_equal():
    assert len({made()[1] for _ in range(1000)}) == 1000


def test_a_key_opens_its_entry_and_no_other():
    entry, key = made()
    other, other_key = made()
    assert opens(split_key(key)[1], entry)
    assert not opens(split_key(other_key)[1], entry)
    assert not opens(split_key(key)[1], other)
    assert not opens(split_key(key)[1], None)


def test_an_unknown_id_costs_the_same_comparison(monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[str, str]] = []
    compare: Callable[[str, str], bool] = hmac.compare_digest

    def watched(left: str, right: str) -> bool:
        compared.append((left, right))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    entry, key = made()
    for candidate in (entry, None):
        opens(split_key(key)[1], candidate)
    assert [len(left + right) for left, right in compared] == [128, 128]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "lsk",
        "lsk__",
        "sk_abcd_" + "x" * 43,
        "lsk_abcd_" + "x" * 42,
        "lsk_abcd_" + "x" * 44,
        "lsk_ABCD_" + "x" * 43,
        "lsk_abcd_" + "x" * 42 + "é",
        "lsk_abcd_" + "x" * 43 + "\n",
        "lsk_" + "a" * 33 + "_" + "x" * 43,
    ],
)
def test_what_is_no_key_has_an_id_that_no_key_has(key: str):
    assert split_key(key) == ("", "")
    with pytest.raises(ValidationError):
        KeyEntry(id="", tenant="acme", digest=DIGEST)


def test_disabled_and_expired_keys_are_not_usable():
    entry, _ = made()
    assert entry.usable(EPOCH)
    assert not entry.model_copy(update={"disabled": True}).usable(EPOCH)
    ends = entry.model_copy(update={"expires": EPOCH})
    assert not ends.usable(EPOCH)
    assert ends.usable(datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC))


@pytest.mark.parametrize("value", ["2026-01-01", EPOCH.date(), EPOCH, "2026-01-01T00:00:00Z"])
def test_a_date_is_its_first_moment(value: object):
    entry = KeyEntry.model_validate(
        {"id": "abcd", "tenant": "t", "digest": DIGEST, "expires": value}
    )
    assert entry.expires == EPOCH


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": "a/b"},
        {"tenant": ""},
        {"tenant": "x" * 65},
        {"digest": "secret"},
        {"scope": "all"},
        {"expires": "2026-01-01T00:00:00"},
        {"expires": "soon"},
        {"owner": "me"},
    ],
)
def test_entries_are_checked(wrong: dict[str, str]):
    with pytest.raises(ValidationError):
        KeyEntry.model_validate({"id": "abcd", "tenant": "t", "digest": DIGEST, **wrong})
