"""Training sets of documents and queries, and copies of them whose topic is named only at the start."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from models.errors import TextError
from models.evaluate.data import Query, RetrievalSet
from models.evaluate.reading import read_retrieval_set

HIDDEN: Final = "-hidden"
"""What a copy's name ends in."""
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][A-Za-z0-9-]{2,}\b")
_TITLE_WORD = re.compile(r"[A-Za-z][\w-]{3,}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_PRONOUNS: Final = ("it", "they", "this", "he", "she")
_FORMS: Final = (
    "{topic}: {text}",
    "{text} ({topic})",
    "What about {topic}? {text}",
    "{topic} {text}",
)
_CLOZE_CHARS: Final = range(40, 250)
_FEWEST_CHUNKS: Final = 5
_MOST_CHUNKS: Final = 40
_OFTEN: Final = 3


def read_training_sets(sources: Sequence[Path]) -> list[RetrievalSet]:
    """Read every `train` folder with documents and queries under the sources, by the name of the folder above.

    Raises:
        TextError: there are none.
    """
    folders = sorted({file.parent for s in sources for file in s.rglob("train/queries.jsonl")})
    if not folders:
        raise TextError(f"no train/queries.jsonl under {', '.join(map(str, sources))}")
    return [read_retrieval_set(folder.parent.name, folder) for folder in folders]


def shorten(data: RetrievalSet, chunks: int) -> RetrievalSet:
    """Return a set with at most so many chunks of each document, and the queries that they answer."""
    queries, kept_before = [], [0]
    firsts = np.cumsum([0, *(len(document) for document in data.documents)])
    for document in data.documents:
        kept_before.append(kept_before[-1] + min(len(document), chunks))
    for query in data.queries:
        first = firsts[query.document]
        gold = tuple(
            int(g - first + kept_before[query.document]) for g in query.gold if g - first < chunks
        )
        if gold:
            queries.append(replace(query, gold=gold))
    documents = tuple(document[:chunks] for document in data.documents)
    return replace(data, documents=documents, queries=tuple(queries))


def hide_topics(data: RetrievalSet, seed: int) -> RetrievalSet | None:
    """Return a copy whose documents name their topic in the first chunk only, so that later ones need it remembered.

    Topic words are names of the first chunk and words of the title that come up again later. There, a pronoun takes
    their place. Queries are those that name the topic, and sentences taken out of their chunk and put after the topic
    (the inverse cloze task, Lee et al., arXiv 1906.00300).

    Args:
        data: Where to copy from.
        seed: Seed of the draws.

    Returns:
        None if that leaves no query.
    """
    documents: list[tuple[str, ...]] = []
    queries: list[Query] = []
    doc_ids: list[str] = []
    asked: list[list[Query]] = [[] for _ in data.documents]
    for query in data.queries:
        asked[query.document].append(query)
    first_chunk = np.cumsum([0, *(len(chunks) for chunks in data.documents)])
    total = 0
    for index, whole in enumerate(data.documents):
        chunks = whole[:_MOST_CHUNKS]
        title = data.titles[index] if data.titles else ""
        topic = _topic_words(chunks, title) if len(chunks) >= _FEWEST_CHUNKS else []
        if not topic:
            continue
        draw = np.random.default_rng([seed, index])
        pattern = re.compile(rf"\b({'|'.join(map(re.escape, topic))})('s)?\b", re.IGNORECASE)
        hidden, clozes = _hide(chunks, pattern, title or topic[0], draw)
        for query in asked[index]:
            gold = [g - first_chunk[index] for g in query.gold]
            if pattern.search(query.text) and all(0 < g < len(chunks) for g in gold):
                clozes.append((query.text, gold))
        queries += [
            Query(text, len(documents), tuple(sorted(int(total + g) for g in gold)))
            for text, gold in clozes
        ]
        documents.append(tuple(hidden))
        doc_ids.append(data.doc_ids[index] if data.doc_ids else str(index))
        total += len(hidden)
    if not queries:
        return None
    empty = ("",) * len(documents)
    return replace(
        data,
        name=data.name + HIDDEN,
        documents=tuple(documents),
        queries=tuple(queries),
        doc_ids=tuple(doc_ids),
        titles=empty,
    )


def _topic_words(chunks: Sequence[str], title: str) -> list[str]:
    names = Counter(name for chunk in chunks for name in set(_NAME.findall(chunk)))
    opening = f"{title} {chunks[0]}"
    frequent = [
        name
        for name, count in names.most_common(12)
        if count >= _OFTEN and re.search(rf"\b{re.escape(name)}\b", opening)
    ]
    later = [chunk.lower() for chunk in chunks[1:]]
    titled = [
        word
        for word in _TITLE_WORD.findall(title)
        if sum(word.lower() in chunk for chunk in later) >= _OFTEN - 1
    ]
    return list(dict.fromkeys(frequent[:2] + titled[:2]))


def _hide(
    chunks: Sequence[str], topic: re.Pattern[str], name: str, draw: np.random.Generator
) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Return the chunks without the topic after the first, and questions cut out of them with their places."""
    pronoun = str(draw.choice(_PRONOUNS))
    hidden, clozes = [chunks[0]], []
    for place, chunk in enumerate(chunks[1:], 1):
        text = topic.sub(lambda found: pronoun + ("s" if found[2] else ""), chunk)
        sentences = [s for s in _SENTENCE_END.split(text) if len(s) in _CLOZE_CHARS]
        if len(sentences) >= _OFTEN and draw.random() < 0.6:  # noqa: PLR2004 - most chunks, not all
            taken = str(draw.choice(sentences))
            text = text.replace(taken, "", 1)
            form = str(draw.choice(_FORMS))
            clozes.append((form.format(topic=name, text=taken[:160]), [place]))
        hidden.append(text)
    return hidden, clozes
