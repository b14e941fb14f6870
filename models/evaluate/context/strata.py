"""Does the chunk that answers a question say what it is about? Only where it does not can context help."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate.data import RetrievalSet

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_TOPIC_NAMES: Final = 3
_ENOUGH: Final = 0.5
_FUNCTION_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        about after all also among and any are been being between but can could did does during each for from had has
        have her his how its into may might more most nor not off one only other our out over per she should some such
        than that the their them then there these they this those through two under upon use using was were what when
        where which while who whom why will with within without would you your
        """,
    )
)


def names_topic(data: RetrievalSet) -> NDArray[np.bool_]:
    """Tell for each query whether its gold chunks name their document's topic; *shape* (queries,).

    They do if at least half the topic's words stand in them.
    """
    texts = [text for chunks in data.documents for text in chunks]
    titles = data.titles or ("",) * len(data.documents)
    topics = [topic_words(*item) for item in zip(titles, data.documents, strict=True)]
    named = []
    for query in data.queries:
        topic = topics[query.document]
        said = {word.lower() for chunk in query.gold for word in _WORD.findall(texts[chunk])}
        named.append(len(topic & said) >= _ENOUGH * len(topic))
    return np.array(named, np.bool_)


def topic_words(title: str, chunks: Sequence[str]) -> frozenset[str]:
    """Return the words, in lower case, that say what a document is about.

    Args:
        title: Its content words are the topic.
        chunks: Where a title has no content word, the topic are the three most frequent words that the document
            writes with a capital and never without.
    """
    words = {word.lower() for word in _WORD.findall(title)} - _FUNCTION_WORDS
    if words:
        return frozenset(words)
    counts = Counter(word for text in chunks for word in _WORD.findall(text))
    names = [
        (-count, word)
        for word, count in counts.items()
        if word[0].isupper() and word.lower() not in counts and word.lower() not in _FUNCTION_WORDS
    ]
    return frozenset(word.lower() for _, word in sorted(names)[:_TOPIC_NAMES])
