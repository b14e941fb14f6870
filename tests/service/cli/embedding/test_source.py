import hashlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.chunking import split_text
from service.cli.embedding.errors import SourceError
from service.cli.embedding.source import TextReader, chunks_of, file_sha256


class Trickle(BytesIO):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(self._step, size) if size and size > 0 else self._step)


def read(data: bytes, step: int = 65_536) -> str:
    return "".join(TextReader(Trickle(data, step), "x.txt"))


@settings(deadline=None)
@given(st.text(), st.integers(min_value=1, max_value=5))
def test_text_survives_any_cutting_of_its_bytes(text, step):
    assert read(text.encode(), step) == text.removeprefix("\ufeff")


@settings(deadline=None)
@given(
    st.text().filter(lambda text: not text.startswith("\ufeff")),
    st.sampled_from([b"\xff", b"\xc3(", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98"]),
    st.integers(min_value=1, max_value=5),
)
def test_the_offset_is_that_of_the_first_wrong_byte(before, wrong, step):
    offset = len(before.encode())
    with pytest.raises(SourceError, match=rf"x\.txt is not UTF-8: .* at byte {offset}$"):
        read(before.encode() + wrong, step)


def test_the_offset_is_right_far_into_a_long_text():
    data = "é€🎉".encode() * 20_000
    with pytest.raises(SourceError, match=f"at byte {len(data)}$"):
        read(data + b"\xfe tail")


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_a_byte_order_mark_is_dropped_at_the_beginning_only(step):
    assert read("\ufeffa\ufeffb".encode(), step) == "a\ufeffb"


def test_line_ends_stay_as_they_are():
    assert read(b"a\r\nb\rc\n") == "a\r\nb\rc\n"


def test_the_digest_is_that_of_the_file(tmp_path):
    data = "\ufefftext".encode() * 50_000
    path = tmp_path / "x"
    path.write_bytes(data)
    with path.open("rb") as stream:
        reader = TextReader(stream, "x")
        assert "".join(reader) == data.decode().removeprefix("\ufeff")
    assert reader.sha256 == file_sha256(path) == hashlib.sha256(data).hexdigest()


def test_chunks_are_those_of_the_whole_text():
    text = "A sentence of a book. " * 500
    pieces = [text[i : i + 7] for i in range(0, len(text), 7)]
    assert list(chunks_of(pieces, 100)) == list(split_text(text, 100))


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        file_sha256(tmp_path / "missing")
    with pytest.raises(SourceError, match="no regular file"):
        file_sha256(tmp_path)
