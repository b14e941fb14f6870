from dataclasses import replace

import numpy as np
import pytest

from models.evaluate import EvaluationError, RetrievalSet
from models.evaluate.context.mixing import Candidate
from models.evaluate.context.scores import MAIN, Judge, link_accuracy
from models.evaluate.data import Query

E0, E1, E2, E3 = np.eye(4, dtype=np.float32)
# `bees` is reported, `chess` is for selection
DATA = RetrievalSet(
    "x",
    (("a", "b"), ("c", "d")),
    (Query("?", 0, (0,)), Query("?", 1, (2,))),
    {},
    ("bees", "chess"),
)
QUERIES = np.stack([E0, E2])
REPORTED_RIGHT = np.stack([E0, E1, E1, E2])  # the other query finds its chunk second
SELECTION_RIGHT = np.stack([E1, E0, E2, E3])
BOTH_RIGHT = np.stack([E0, E1, E2, E3])


def test_rows_are_chosen_on_the_selection_half_alone():
    judge = Judge(DATA, QUERIES)
    candidates = [Candidate(REPORTED_RIGHT, {"a": 1.0}), Candidate(SELECTION_RIGHT, {"a": 2.0})]
    best = judge.best("row", "training-free", candidates)
    assert best.settings == {"a": 2.0}
    assert best.selection == 1
    assert best.values["r@1"].tolist() == [0, 1]
    later = judge.best("row", "training-free", [*candidates, Candidate(BOTH_RIGHT, {"a": 3.0})])
    assert later.settings == {"a": 2.0}  # no better where it counts: of equal ones the first
    with pytest.raises(EvaluationError, match="row: there is nothing to choose from"):
        judge.best("row", "alone", [])


def test_the_mean_over_seeds_is_of_each_query():
    judge = Judge(DATA, QUERIES)
    rows = [judge.memory(f"m {i}", "own", v) for i, v in enumerate((BOTH_RIGHT, REPORTED_RIGHT))]
    mean = judge.mean("m, mean of 2", rows)
    assert (mean.id, mean.model, mean.control) == ("m, mean of 2: own", "m, mean of 2", "own")
    assert mean.values["r@1"].tolist() == [1, 0.5]
    assert mean.selection == pytest.approx((1 + rows[1].values[MAIN][1]) / 2)


def test_links_are_ranked_among_the_attribute_chunks_of_the_document():
    queries = (
        Query("?", 0, (1,), "link", 1),
        Query("?", 0, (2,), "link", 1),
        Query("?", 0, (0,), "passkey"),
        Query("?", 1, (4,), "link", 2),
    )
    data = RetrievalSet("x", (("a", "b", "c", "d"), ("e", "f")), queries)
    asked = np.stack([E0, E1, E0, E3])
    # the first query's best chunk of all is 0, of the attribute chunks 1; the second ties and loses to the earlier
    chunks = np.stack([E0, E0 * 0.5 + E1 * 0.5, E1 * 0.5, E1, E2, E3])
    found = link_accuracy(data, asked, chunks)
    np.testing.assert_array_equal(found, [1, 0, np.nan, 1])
    values = Judge(replace(data, doc_ids=("bees", "chess")), asked).values(chunks)
    np.testing.assert_array_equal(values["link"], found)
    assert "link" not in Judge(DATA, QUERIES).values(BOTH_RIGHT)
