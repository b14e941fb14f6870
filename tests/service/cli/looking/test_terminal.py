"""What a terminal gets: the largest layout that fits it."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from service.cli.looking.terminal import show
from service.cli.looking.view import Look, Stage
from tests.service.cli.looking.kit import TEXT, load, look_at

SENTENCE = "The bank of the river was muddy after the storm, and nobody crossed it."  # 16 tokens
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def shown(look: Look, width: int = 400, *, terminal: bool = True, no_color: bool = False) -> str:
    """Return what a console of that width prints, escape sequences included."""
    output = io.StringIO()
    console = Console(
        file=output,
        width=width,
        force_terminal=terminal,
        color_system="truecolor" if terminal else None,
        no_color=no_color,
        legacy_windows=False,
    )
    show(look, console)
    return output.getvalue()


def table(text: str) -> list[str]:
    """Return the lines of the first panel: its heading, and a row per token."""
    plain = ESCAPES.sub("", text)
    return plain.split("\n\n")[1].splitlines()[1:]


def test_a_pipe_gets_plain_numbers_however_wide(config):
    look = look_at(load(config, "multi-head"), SENTENCE)
    text = shown(look, 20, terminal=False)
    assert "\x1b" not in text
    heading, *rows = table(text)
    assert heading.split()[:4] == ["[CLS]", "the", "bank", "of"]
    assert len(rows) == len(look.tokens)
    for row, values in zip(rows, look.views[0].values, strict=True):
        numbers = [float(number) for number in row.split()[1:]]
        assert numbers == pytest.approx(values.tolist(), abs=0.0051)


def test_a_wide_terminal_gets_coloured_numbers_under_tokens(config):
    text = shown(look_at(load(config, "multi-head"), TEXT), 80)
    assert "\x1b[" in text
    assert "48;2;" in text  # a background
    heading, *rows = table(text)
    assert heading.split() == ["[CLS]", "she", "opened", "the", "letter", ".", "[SEP]"]
    assert rows[3].split()[0] == "the"
    assert len(rows[3].split()) == 8


@pytest.mark.parametrize(
    ("width", "heading"), [(90, "0   1   2   3"), (60, "0         5         10"), (30, "0    5")]
)
def test_the_narrower_the_terminal_the_smaller_the_cells(config, width, heading):
    look = look_at(load(config, "multi-head"), SENTENCE)
    text = shown(look, width)
    first, *rows = table(text)
    assert first.split() == heading.split() or first.strip().startswith(heading)
    assert all(cell_len(line) <= width for line in [first, *rows])
    assert rows[2].split()[:2] == ["2", "bank"]
    assert text.count("48;2;") >= len(look.tokens)
    highest = f"light is .{look.views[0].values.max() * 100:02.0f}"
    assert rows[-1].endswith(highest) == (width < 90)


def test_a_very_narrow_terminal_names_the_best(config):
    look = look_at(load(config, "multi-head"), SENTENCE)
    rows = table(shown(look, 20))
    weights = look.views[0].values[2]
    best = look.tokens[int(weights.argmax())].piece
    assert rows[2].startswith(f"bank: {best} {weights.max():.2f}".replace("0.", "."))
    assert rows[2].count(",") == 2


def test_without_colours_no_cell_is_colour_alone(config):
    look = look_at(load(config, "multi-head"), SENTENCE)
    text = shown(look, 60, no_color=True)
    assert "48;2;" not in text
    assert table(text)[0].startswith("[CLS]: ")


def test_what_may_not_be_seen_is_a_dot(config):
    for stage in (Stage.SCORES, Stage.WEIGHTS):
        look = look_at(load(config, "causal"), TEXT, stage=stage)
        rows = table(shown(look))[1:]
        assert [row.count("·") for row in rows] == [6, 5, 4, 3, 2, 1, 0]


def test_a_list_names_only_what_may_be_seen(config):
    rows = table(shown(look_at(load(config, "causal"), SENTENCE), 20))
    assert rows[0] == "[CLS]: [CLS] 1.00"
    assert rows[1].count(",") == 1


def test_both_directions_have_a_panel(config):
    text = ESCAPES.sub("", shown(look_at(load(config, "bidirectional"))))
    assert "\nforward: itself and what comes before\n" in text
    assert "\nbackward: itself and what comes after\n" in text


def test_of_outputs_there_is_a_column_per_head(config):
    look = look_at(load(config, "bidirectional"), head="all", stage=Stage.OUTPUTS)
    text = shown(look)
    heading, *rows = table(text)
    assert heading.split() == ["0", "1", "2"]
    assert [len(row.split()) for row in rows] == [4] * len(look.tokens)
    assert "combined: what enters the output projection" in ESCAPES.sub("", text)


def test_an_empty_memory_is_said(config):
    text = shown(look_at(load(config, "infini")))
    assert "--context gives it something to remember" in text
    assert "memory" not in table(text)[0]


def test_wide_characters_keep_columns_in_line(config):
    heading, *rows = table(shown(look_at(load(config, "multi-head"), "我 hi 中"), 60))
    assert {cell_len(line) for line in [heading, *rows]} == {cell_len(heading)}
