"""Pictures: of any text, without a warning, and the same bytes every time."""

import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from models.variants import variants
from service.cli.looking import heatmap
from service.cli.looking.heatmap import draw
from service.cli.looking.view import Stage, Token
from tests.service.cli.looking.kit import load, look_at

pytest.importorskip("matplotlib")

PIECES = ["[CLS]", "she", "opened", "the", "letter", ".", "[SEP]"]


def size(file: Path) -> tuple[int, int]:
    """Return the width and height of a PNG."""
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def texts(file: Path) -> list[str]:
    """Return every text of an SVG."""
    root = ET.fromstring(file.read_text("utf-8"))  # noqa: S314 - we wrote it
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("attention", variants())
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("head", ["0", "all"])
def test_every_variant_and_stage_can_be_drawn(config, tmp_path, attention, stage, head):
    loaded = load(config, attention)
    file = tmp_path / "map.png"
    draw(look_at(loaded, head=head, stage=stage), file)
    width, height = size(file)
    assert 300 < width < 4000
    assert 300 < height < 4000


def test_an_svg_holds_the_tokens_on_both_axes_and_the_title(config, tmp_path):
    file = tmp_path / "map.svg"
    look = look_at(load(config, "multi-head"))
    draw(look, file)
    found = texts(file)
    assert "multi-head, layer 1 of 0-1, mean of 3 heads: weights" in found
    assert "both directions" in found
    assert [found.count(piece) for piece in PIECES] == [2] * len(PIECES)
    assert f"{look.views[0].values[0, 0]:.2f}" in found


def test_all_heads_are_small_multiples_with_directions_side_by_side(config, tmp_path):
    file = tmp_path / "map.svg"
    draw(look_at(load(config, "bidirectional"), head="all"), file)
    titles = [text for text in texts(file) if text.startswith("head ")]
    assert titles == [f"head {n}, {way}" for n in range(3) for way in ("forward", "backward")]
    # Six panels in rows of four: labels at the left of both rows, and under the lowest of each column.
    assert texts(file).count("opened") == 2 + 4


def test_the_largest_picture_is_readable_and_not_huge(config, tmp_path):
    look = look_at(load(config, "bidirectional"), "war and peace " * 21 + "!", head="all")
    draw(look, tmp_path / "map.png")
    width, height = size(tmp_path / "map.png")
    assert 10 * 66 * 4 < width < 30 * 66 * 4  # pixels of a cell; four panels in a row
    assert 10 * 66 * 2 < height < 30 * 66 * 2


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_look_gives_the_same_bytes(config, tmp_path, suffix):
    look = look_at(load(config, "bidirectional"))
    draw(look, tmp_path / f"one{suffix}")
    draw(look, tmp_path / f"other{suffix}")
    content = (tmp_path / f"one{suffix}").read_bytes()
    assert content == (tmp_path / f"other{suffix}").read_bytes()
    assert b"<dc:date>" not in content


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_characters_without_a_glyph_are_no_warning(config, tmp_path, suffix):
    file = tmp_path / f"map{suffix}"
    draw(look_at(load(config, "multi-head"), "我 \u0939 한 $x$ a_b^c שלום 🙂"), file)
    assert file.stat().st_size > 1000
    if suffix == ".svg":
        assert "我" in texts(file)
        assert texts(file).count("$") == 4


def test_a_png_spells_out_what_no_font_has(config, tmp_path, monkeypatch):
    look = look_at(load(config, "multi-head"), "我")
    monkeypatch.setattr(heatmap, "_fonts", lambda: {"DejaVu Sans": frozenset(map(ord, "[CLSEP]"))})
    spelled = replace(look, tokens=(Token("[CLS]"), Token("U+6211", 0, 1), Token("[SEP]")))
    draw(look, tmp_path / "one.png")
    monkeypatch.undo()
    draw(spelled, tmp_path / "other.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_a_control_character_is_spelled_out(config, tmp_path):
    look = look_at(load(config, "multi-head"), "a")
    draw(
        replace(look, tokens=(Token("[CLS]"), Token("\x1b\x00"), Token("[SEP]"))),
        tmp_path / "map.svg",
    )
    assert texts(tmp_path / "map.svg").count(r"\x1b\x00") == 2


def test_an_installed_font_is_used_for_what_the_first_lacks(monkeypatch):
    monkeypatch.setattr(heatmap, "_FALLBACK_FONTS", ("DejaVu Sans Mono", "No Such Font"))
    fonts = heatmap._fonts()
    assert list(fonts) == ["DejaVu Sans", "DejaVu Sans Mono"]
    assert ord("a") in fonts["DejaVu Sans Mono"]
    assert ord("我") not in fonts["DejaVu Sans"]
