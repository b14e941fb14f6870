from loadtests.bench.experiments.reading import stops_of


def test_a_document_is_stopped_at_where_something_was_promised_and_at_its_end():
    assert stops_of(100_000) == [100_000]
    assert stops_of(1_000_000) == [1_000_000]
    assert stops_of(10_000_000) == [1_000_000, 10_000_000]
    assert stops_of(12_000_000) == [1_000_000, 10_000_000, 12_000_000]
