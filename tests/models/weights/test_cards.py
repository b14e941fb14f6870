"""Model cards: figures for programs in the front matter, a page for people below it."""

from pathlib import Path

import pytest

from models.errors import WeightsError
from models.weights import Card, read_card

GOOD = """---
base_sha256: abc123
evaluation:
  ndcg@10: 0.41
  sets: [peps, qmsum]
---

# Causal attention

---
A line above, and `base_sha256: other` in the text, are no front matter.
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return tmp_path / "causal.md"


def test_a_card_gives_its_figures(card: Path):
    card.write_text(GOOD, "utf-8")
    assert read_card(card) == Card("abc123", {"ndcg@10": 0.41, "sets": ["peps", "qmsum"]})


def test_a_card_with_windows_line_ends_is_read_as_well(card: Path):
    card.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert read_card(card).base == "abc123"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# Causal attention\n",
        "---\nbase_sha256: abc123\nevaluation: {}\n",
        "---\n---\n",
        "---\n- base_sha256\n- evaluation\n---\n",
        "---\nbase_sha256: abc123\nevaluation: fine\n---\n",
        "---\nbase_sha256: abc123\nevaluation:\n---\n",
        "---\nbase_sha256: [abc\n---\n",
    ],
    ids=["empty", "plain", "unclosed", "blank", "list", "word", "nothing", "no YAML"],
)
def test_a_card_without_proper_front_matter_is_refused(card: Path, content: str):
    card.write_text(content, "utf-8")
    with pytest.raises(WeightsError, match=r"cannot read card causal\.md"):
        read_card(card)


@pytest.mark.parametrize("key", ["base_sha256", "evaluation"])
def test_a_missing_key_is_named(card: Path, key: str):
    card.write_text(GOOD.replace(f"{key}:", "other:", 1), "utf-8")
    with pytest.raises(WeightsError, match=rf"cannot read card causal\.md: '{key}'"):
        read_card(card)


def test_a_card_that_is_not_there_or_not_text_is_refused(card: Path):
    with pytest.raises(WeightsError, match=r"cannot read card causal\.md"):
        read_card(card)
    card.write_bytes(b"---\n\xff\xfe\n---\n")
    with pytest.raises(WeightsError, match=r"cannot read card causal\.md"):
        read_card(card)
