from dataclasses import replace

from models.evaluate import RetrievalSet
from models.evaluate.context.strata import names_topic, topic_words
from models.evaluate.data import Query


def test_a_topic_is_what_the_title_says_or_whom_the_document_names():
    assert topic_words("The History of the Rhine, and its use", ()) == {"history", "rhine"}
    chunks = ["Anna saw Boris. Then the shop was shut: the Shop of Anna.", "Then Carl, Carl, Anna"]
    assert topic_words("", chunks) == {"anna", "carl", "boris"}
    assert topic_words("of it", chunks) == {"anna", "carl", "boris"}
    assert topic_words("", ["no names here"]) == frozenset()


def test_queries_are_told_apart_by_their_gold_chunks():
    chunks = ("A river.", "The RHINE valley in spring", "Its valley")
    queries = tuple(Query("?", 0, gold) for gold in ((0,), (1,), (2,), (0, 2), (0, 1)))
    data = RetrievalSet("x", (chunks,), queries, {}, ("0",), ("The Upper Rhine Valley",))
    # two of upper, rhine, valley are enough, one is not
    assert names_topic(data).tolist() == [False, True, False, False, True]
    untitled = replace(data, titles=(), documents=(("Bonn. Bonn lies there.", "It lies there."),))
    untitled = replace(untitled, queries=queries[:2])
    assert names_topic(untitled).tolist() == [True, False]
