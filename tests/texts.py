"""Varied texts for parity tests: seeded, several languages, 1 to 256 tokens, emoji and nearly empty ones."""

import random
from pathlib import Path

SENTENCES = (Path(__file__).parent / "data" / "sentences.txt").read_text("utf-8").splitlines()
NEARLY_EMPTY = ["", " ", "\n\t", ".", "a", "\u200b", "🙂", "\u00a0", "的", "[SEP]"]


def varied_texts(count: int, seed: int = 7) -> list[str]:
    """Return texts whose word counts are lognormal, so that most are short and some fill the window."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
    texts = list(NEARLY_EMPTY)
    while len(texts) < count:
        words = " ".join(rng.choices(SENTENCES, k=12)).split()
        texts.append(" ".join(words[: max(1, int(rng.lognormvariate(2.8, 0.9)))]))
    return texts[:count]
