import base64

import numpy as np
import orjson
import pytest

from loadtests.bench.errors import BenchError
from loadtests.bench.vectors import agreement, chunks_in, embeddings_in


def test_equal_vectors_agree_whatever_their_length():
    vectors = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    found = agreement(vectors, vectors * 3)
    assert found.same
    assert found.texts == 5
    assert found.mean == pytest.approx(1)


def test_one_wrong_vector_is_enough_to_disagree():
    vectors = np.eye(4, dtype=np.float32)
    other = vectors.copy()
    other[2] = [0, 0, 1, 0.05]
    found = agreement(vectors, other)
    assert not found.same
    assert found.lowest == pytest.approx(1 / np.sqrt(1 + 0.05**2), abs=1e-6)


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf])
def test_what_is_no_direction_equals_nothing(wrong):
    vectors = np.eye(2, dtype=np.float32)
    other = vectors.copy()
    other[1] = wrong
    assert not agreement(vectors, other).same


def test_other_shapes_are_refused():
    with pytest.raises(BenchError, match="shape"):
        agreement(np.eye(3, dtype=np.float32), np.eye(2, dtype=np.float32))


def test_answers_are_read_in_order_as_floats_and_as_base64():
    raw = base64.b64encode(np.array([3, 4], dtype="<f4").tobytes()).decode()
    body = {"data": [{"index": 1, "embedding": raw}, {"index": 0, "embedding": [1, 2]}]}
    assert embeddings_in(orjson.dumps(body)).tolist() == [[1, 2], [3, 4]]
    chunks = {"chunks": [{"seq": 8, "embedding": [1, 2]}, {"seq": 7, "embedding": raw}]}
    numbers, vectors = chunks_in(orjson.dumps(chunks))
    assert numbers == [7, 8]
    assert vectors.tolist() == [[3, 4], [1, 2]]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": []}', b'{"data": [{"index": 0}]}', b"[]"])
def test_anything_else_is_an_error(body):
    with pytest.raises(BenchError, match="without vectors"):
        embeddings_in(body)
