"""Sets are shortened, and topics hidden, without a query losing its answer."""

import json
import re
from pathlib import Path

import pytest

from models.errors import TextError
from models.evaluate.data import Query, RetrievalSet
from models.fit.context.sets import hide_topics, read_training_sets, shorten

HARBOUR = (
    "The town of Velmora lies by the sea. Its people fish for a living all year.",
    """In spring Velmora holds a great market on the quay. Boats come from every island around.
    The prices are known to be fair. Then Velmora's bells ring out over the water at noon.""",
    """The walls of Velmora were built of grey stone long ago. They have stood for six hundred years.
    No army has ever come across them. A gate looks out on each of the four roads.""",
    """Many songs praise Velmora and the wide bay. Children learn the oldest of them at school.
    Sailors sing another one when they leave. Nobody knows who wrote either of the two.""",
    "Nothing here says where we are. It rains on most days of the long autumn.",
)
WALLS = "What were the walls of Velmora built of?"
PLAIN = ("one here", "two here", "three here", "four here", "five here", "six here")


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.])\s+", text.strip())


@pytest.fixture
def towns() -> RetrievalSet:
    """Return a document without a topic and one with it, so that places are counted over documents."""
    return RetrievalSet(
        "towns",
        (PLAIN, HARBOUR),
        (
            Query("Which here is it?", 0, (3,)),
            Query(WALLS, 1, (8,)),
            Query("Where does it rain?", 1, (10,)),
            Query("Where does Velmora lie?", 1, (6,)),
        ),
        doc_ids=("plain", "harbour"),
        titles=("", "Velmora"),
    )


def test_a_hidden_topic_is_named_in_the_first_chunk_alone(towns: RetrievalSet):
    hidden = hide_topics(towns, seed=0)
    assert hidden is not None
    assert hidden.name == "towns-hidden"
    assert hidden.doc_ids == ("harbour",)
    assert hidden.titles == ("",)
    [document] = hidden.documents
    assert len(document) == len(HARBOUR)
    assert document[0] == HARBOUR[0]
    assert not any("velmora" in chunk.lower() for chunk in document[1:])
    assert document[4] == HARBOUR[4]


def test_questions_of_a_hidden_topic_name_it_and_their_answer_is_a_later_chunk(towns: RetrievalSet):
    hidden = hide_topics(towns, seed=0)
    assert hidden is not None
    asked = {query.text: query for query in hidden.queries}
    assert asked[WALLS].gold == (2,)
    assert "Where does it rain?" not in asked  # needs no memory of the topic
    assert "Where does Velmora lie?" not in asked  # the first chunk still says so itself
    assert all("Velmora" in query.text and query.document == 0 for query in hidden.queries)


def test_a_cloze_is_a_sentence_that_its_chunk_has_lost(towns: RetrievalSet):
    cut = 0
    for seed in range(12):
        hidden = hide_topics(towns, seed)
        assert hidden is not None
        [document] = hidden.documents
        clozes = {q.gold[0]: q.text for q in hidden.queries if q.text != WALLS}
        for place, (before, after) in enumerate(zip(HARBOUR, document, strict=True)):
            lost = len(_sentences(before)) - len(_sentences(after))
            assert lost == (place in clozes)
            # A sentence that named the topic is asked for by what took the name's place.
            gone = [s for s in _sentences(before) if "Velmora" not in s and s not in after]
            assert len(gone) <= lost
            assert all(sentence in clozes[place] for sentence in gone)
            cut += len(gone)
    assert cut > 4


def test_copies_are_the_same_for_a_seed_and_differ_between_seeds(towns: RetrievalSet):
    assert hide_topics(towns, 3) == hide_topics(towns, 3)
    assert len({str(hide_topics(towns, seed)) for seed in range(5)}) > 1


def test_without_a_topic_there_is_no_copy(towns: RetrievalSet):
    only = RetrievalSet("plain", (PLAIN,), (towns.queries[0],), titles=("",))
    assert hide_topics(only, 0) is None


def test_a_shortened_set_keeps_the_queries_that_it_still_answers():
    data = RetrievalSet(
        "s",
        (("a", "b", "c", "d"), ("e",), ("f", "g", "h")),
        (
            Query("b and d", 0, (1, 3)),
            Query("d", 0, (3,)),
            Query("e", 1, (4,)),
            Query("g", 2, (6,)),
            Query("h", 2, (7,)),
        ),
    )
    short = shorten(data, 2)
    assert short.documents == (("a", "b"), ("e",), ("f", "g"))
    texts = [text for document in short.documents for text in document]
    answers = {query.text: [texts[g] for g in query.gold] for query in short.queries}
    assert answers == {"b and d": ["b"], "e": ["e"], "g": ["g"]}
    assert shorten(data, 4) == data


def test_training_sets_are_the_train_folders_under_the_sources(tmp_path: Path):
    for folder in ("garden/train", "garden/dev", "deep/river/train"):
        (tmp_path / folder).mkdir(parents=True)
        chunks = [{"chunk_id": name, "text": name} for name in "ab"]
        document = {"doc_id": "d", "chunks": chunks}
        query = {"text": "b?", "doc_id": "d", "gold_chunk_ids": ["b"]}
        (tmp_path / folder / "docs.jsonl").write_text(json.dumps(document) + "\n", "utf-8")
        (tmp_path / folder / "queries.jsonl").write_text(json.dumps(query) + "\n", "utf-8")
    assert [data.name for data in read_training_sets([tmp_path])] == ["river", "garden"]
    with pytest.raises(TextError, match=r"no train/queries\.jsonl under"):
        read_training_sets([tmp_path / "garden/dev"])
