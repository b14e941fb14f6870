import time

import pytest

from service.api.entity_tags import parse_if_match
from service.errors import BadRequest


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("*", ("*",)),
        (" * ", ("*",)),
        ('"a.1"', ("a.1",)),
        ('""', ("",)),
        ('"a", "b"', ("a", "b")),
        ('"a","b"\t,\t"c"', ("a", "b", "c")),
        (', "a", ,"b",', ("a", "b")),
        ('"a,b"', ("a,b",)),
        ('W/"a", "b"', ("b",)),
        ('W/"a"', ()),
        ('"*"', ()),
        ('"\xe9"', ("\xe9",)),
    ],
)
def test_lists_of_tags(header, tags):
    assert parse_if_match(header) == tags


@pytest.mark.parametrize(
    "header",
    ["", " ", ",", "a", '"a', 'a"', '"a" "b"', '"a", b', '*, "a"', '"a", *', 'w/"a"', '"a b"', '"a"\n'],
)  # fmt: skip
def test_anything_else_is_malformed(header):
    with pytest.raises(BadRequest):
        parse_if_match(header)


@pytest.mark.parametrize("piece", [" ", "\t", ",", ", ", '"', '""', '"",', 'W/"'])
def test_a_long_header_costs_time_in_proportion(piece):
    header = piece * (60_000 // len(piece)) + "x"
    begin = time.perf_counter()
    with pytest.raises(BadRequest):
        parse_if_match(header)
    assert time.perf_counter() - begin < 1, "a hang, on any machine"
