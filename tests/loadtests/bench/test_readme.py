import pytest

from loadtests.bench.errors import BenchError
from loadtests.bench.readme import BEGIN, END, check_marks, fill
from loadtests.bench.result import Result
from loadtests.bench.rounds import Spread, Verdict

KEPT = Verdict("ours over theirs", Spread(2.0, 1.9, 2.1, 3), 1.8)
RESULT = Result("batches", "32 texts", {}, [KEPT])


def test_the_table_goes_between_the_marks_and_nothing_else_changes(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    fill(file, "On a machine", [RESULT])
    text = file.read_text()
    assert text.startswith(f"before\n{BEGIN}\nOn a machine.\n\n| experiment |")
    assert "| batches | 2 | 1.9 to 2.1 | ≥ 1.8: kept | ours over theirs |" in text
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    fill(file, "On a machine", [RESULT])
    assert file.read_text() == text


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_readme_without_a_place_is_refused(tmp_path, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(BenchError, match="no place"):
        check_marks(file)
    with pytest.raises(BenchError, match="cannot read"):
        check_marks(tmp_path / "none.md")
