import json
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from service.cli.embedding.batches import REQUEST_BYTES, batches_of

chunks = st.lists(st.sampled_from(["a", "é" * 200_000, "\x01" * 100_000, "x" * 2**20]), max_size=12)


@settings(deadline=None, max_examples=30)
@given(chunks, st.integers(min_value=1, max_value=5))
def test_batches_are_the_chunks_and_fit_into_requests(chunks, longest):
    batches = list(batches_of(chunks, longest))
    assert [chunk for batch in batches for chunk in batch] == chunks
    for batch in batches:
        assert 1 <= len(batch) <= longest
        body = {"first_seq": 10**9, "chunks": batch, "return": ["embedding", "tokens"]}
        size = len(json.dumps(body, ensure_ascii=False).encode())
        assert size <= REQUEST_BYTES or len(batch) == 1


def test_a_full_batch_does_not_wait_for_the_next_chunk():
    asked = []

    def pipe() -> Iterator[str]:
        for n in range(4):
            asked.append(n)
            yield str(n)

    assert next(batches_of(pipe(), 2)) == ["0", "1"]
    assert asked == [0, 1]


def test_no_more_batches_than_needed():
    assert [len(batch) for batch in batches_of(["x" * 250_000] * 9, 256)] == [4, 4, 1]
