"""`longstream attention` in this process: on small random weights of every variant, and on the real ones."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.variants import variants
from service.cli import main
from service.cli.looking.view import Stage
from tests.service.cli.looking.kit import TEXT, WINDOW, load, run, said, write_config

ROOT = Path(__file__).parents[3]
LONG = "war and peace " * 25  # 75 tokens: too many to show, few enough to read
DIRECTIONS = {"causal": ["forward"], "bidirectional": ["forward", "backward"]}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("attention"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs a command line as the shell does, and returns its one line of complaint."""

    def run_refused(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["longstream", "attention", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert (stopped.value.code, out) == (1, "")
        assert err.startswith("longstream: ")
        assert err.count("\n") == 1
        return err.removeprefix("longstream: ").strip()

    return run_refused


@pytest.mark.parametrize("head", ["0", "mean", "all"])
@pytest.mark.parametrize("attention", variants())
def test_rows_of_weights_sum_to_one(config, attention, head):
    told = said(TEXT, "--model", attention, "--head", head, "-c", config)
    heads = told["heads"] if head == "all" else 1
    ways = DIRECTIONS.get(attention, ["both"])
    assert [entry["direction"] for entry in told["maps"]] == ways * heads
    for entry in told["maps"]:
        assert len(entry["values"]) == len(told["tokens"]) == 7
        for row in entry["values"]:
            assert sum(row) == pytest.approx(1, abs=1e-5)


def test_it_shows_what_the_encoder_computes(config):
    loaded = load(config, "multi-head")
    [segment] = loaded.tokenizer.segments([TEXT])[0]
    first, second = loaded.encoder.inspect(segment, None)
    options = ("-c", config, "--model", "multi-head")

    def values(*more: object) -> list[torch.Tensor]:
        return [torch.tensor(entry["values"]) for entry in said(TEXT, *options, *more)["maps"]]

    [mean] = values()
    torch.testing.assert_close(mean, second.maps[0].weights.mean(0))
    [scores] = values("--layer", 0, "--head", 2, "--stage", "scores")
    torch.testing.assert_close(scores, first.maps[0].scores[2])
    heads = values("--head", "all", "--stage", "outputs")
    torch.testing.assert_close(torch.stack(heads), second.outputs.norm(dim=-1))


def test_scores_are_null_where_a_token_may_not_look(config):
    told = said(TEXT, "--model", "causal", "--stage", "scores", "-c", config)
    for place, row in enumerate(told["maps"][0]["values"]):
        assert [value is None for value in row] == [column > place for column in range(7)]


def test_tokens_say_where_they_stand(config):
    tokens = said("Naïve, café", "--model", "causal", "-c", config)["tokens"]
    assert tokens[0] == {"piece": "[CLS]", "start": None, "end": None}
    places = [(token["start"], token["end"]) for token in tokens[1:-1]]
    assert ["Naïve, café"[start:end] for start, end in places] == ["Naïve", ",", "café"]


def test_outputs_show_each_direction_and_what_becomes_of_them(config):
    told = said(TEXT, "--model", "bidirectional", "--stage", "outputs", "-c", config)
    assert [entry["direction"] for entry in told["maps"]] == ["forward", "backward", "combined"]
    plain = said(TEXT, "--model", "multi-head", "--stage", "outputs", "-c", config)
    assert [entry["direction"] for entry in plain["maps"]] == ["both"]


def test_a_context_is_remembered(config, here):
    (here / "before.txt").write_text("Napoléon crossed the river. " * 40, "utf-8")
    options = ("--model", "infini", "-c", config, "--head", "all")
    empty, long = said(TEXT, *options), said(TEXT, *options, "--context", "@before.txt")
    short = said(TEXT, *options, "--context", "Napoleon crossed the river.")
    assert [told["context_tokens"] for told in (empty, short, long)] == [0, 5, 40 * 5]
    for entry in empty["maps"]:
        assert entry["memory_share"] == [0] * 7
    for told in (short, long):
        shares = [share for entry in told["maps"] for share in entry["memory_share"]]
        assert all(0 < share < 1 for share in shares)
    assert short["maps"] != long["maps"]
    assert said(TEXT, "--model", "multi-head", "-c", config)["maps"][0]["memory_share"] is None


def test_the_share_belongs_to_what_memory_was_mixed_into(config):
    told = said(TEXT, "--model", "infini", "-c", config, "--stage", "outputs", "--context", "x y")
    local, combined = told["maps"]
    assert (local["direction"], local["memory_share"]) == ("both", None)
    assert combined["direction"] == "combined"
    assert len(combined["memory_share"]) == 7
    shown = run(TEXT, "--model", "infini", "-c", config, "--stage", "outputs", "--context", "x y")
    assert shown.stdout.count("memory\n") == 1


def test_the_real_weights_look_as_their_inspection_says():
    told = said("The bank of the river.", "--head", "11", "--layer", "0")
    assert (told["model"], told["layers"], told["heads"]) == ("multi-head", 6, 12)
    assert [token["piece"] for token in told["tokens"]][1:3] == ["the", "bank"]
    assert all(math.isclose(sum(row), 1, abs_tol=1e-5) for row in told["maps"][0]["values"])
    shown = run("The bank of the river.")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("multi-head, layer 5 of 0-5, mean of 12 heads: weights\n")
    assert len(shown.stdout.splitlines()) == 2 + 2 + 1 + 8


def test_the_real_memory_has_a_share(here):
    pytest.importorskip("matplotlib")
    options = ("The river rose.", "--model", "infini", "--context", "It rained for a week.")
    result = run(*options, "--out", "map.svg")
    assert result.exit_code == 0, result.output
    assert (result.stdout, result.stderr) == ("", "wrote map.svg\n")
    picture = Path("map.svg").read_text("utf-8")
    assert "after 6 tokens" in picture
    assert ">memory<" in picture
    heading = run(*options).stdout.splitlines()[4]
    assert heading.split() == ["[CLS]", "the", "river", "rose", ".", "[SEP]", "memory"]


def test_a_text_may_come_from_standard_input(config):
    told = said("-", "--model", "causal", "-c", config, stdin="Zoë\n")
    assert [token["piece"] for token in told["tokens"]] == ["[CLS]", "zoe", "[SEP]"]
    broken = run("-", "--model", "causal", "-c", config, stdin=b"caf\xe9")
    assert str(broken.exception).startswith("standard input is not UTF-8")


def test_a_picture_and_json_at_once(config, here):
    pytest.importorskip("matplotlib")
    result = run(TEXT, "--model", "causal", "-c", config, "--json", "--out", "map.PNG")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"] == "causal"
    assert Path("map.PNG").read_bytes().startswith(b"\x89PNG")


def test_json_takes_what_is_too_long_to_show(config):
    told = said(LONG, "--model", "causal", "-c", config)
    assert len(told["tokens"]) == 75 + 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "gpt"], "--model gpt: no such model; known: self-attention, causal, bidir"),
        (["--layer", "2"], "--layer 2: causal has layers 0 to 1"),
        (["--layer", "-1"], "--layer -1: causal has layers 0 to 1"),
        (["--head", "3"], "--head 3: causal has heads 0 to 2; or say `mean` or `all`"),
        (["--head", "best"], "--head best: causal has heads 0 to 2"),
        (["--model", "self-attention", "--head", "1"], "--head 1: self-attention has heads 0 to 0"),
        (["--context", "x"], "--context: the attention of causal has no memory to read it into"),
        (["--model", "infini", "--context", " "], "--context: there are no tokens in it"),
        (["--model", "infini", "--context", "@nowhere"], "--context @nowhere: No such file"),
        (["--model", "infini", "--context", "@latin"], "--context @latin is not UTF-8"),
        (["--out", "map.pdf"], "--out map.pdf: the format is chosen by the suffix, .png or .svg"),
        (["--out", "nowhere/map.png"], "--out nowhere/map.png: not a file in a directory"),
        (["--out", "folder.png"], "--out folder.png: not a file in a directory"),
    ],
)
def test_what_cannot_be_shown_is_one_line(config, here, refused, options, says):
    pytest.importorskip("matplotlib")
    Path("latin").write_bytes(b"caf\xe9")
    Path("folder.png").mkdir()
    assert refused(TEXT, "--model", "causal", "-c", config, *options).startswith(says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" \n", "there are no tokens in the text"),
        (LONG, "the text has 75 tokens; at most 64 can be shown, [CLS] and [SEP] aside"),
        (LONG * 2, f"the text has 150 tokens; this model reads {WINDOW} at once"),
        ("a\udcff", "text is not valid Unicode"),
    ],
)
def test_a_text_that_cannot_be_shown_is_one_line(config, refused, text, says):
    assert refused(text, "--model", "causal", "-c", config).startswith(says)


def test_closed_standard_input_is_one_line(config, refused, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert refused("-", "--model", "causal", "-c", config) == "standard input is closed"


def test_weights_that_are_not_there_name_the_model(here, refused):
    Path("config.yaml").write_text("models: [{id: mine, attention: causal, weights: ./nowhere}]\n")
    assert refused(TEXT, "--model", "mine", "-c", "config.yaml").startswith("model mine: ")


def test_without_matplotlib_it_says_what_to_install(here, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    # The model is not looked for: nobody waits for weights that cannot be drawn.
    expected = "plots need matplotlib: pip install 'longstream[reports]'"
    assert refused(TEXT, "--model", "nowhere", "--out", "map.png") == expected


def test_a_full_disk_is_one_line(config, here, refused, monkeypatch):
    pytest.importorskip("matplotlib")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    options = ("--model", "causal", "-c", config, "--out", "map.png")
    assert refused(TEXT, *options) == "--out map.png: No space left on device"


def test_stages_are_named_in_the_usage():
    result = run(TEXT, "--stage", "softmax")
    assert result.exit_code == 2
    assert all(stage in result.stderr for stage in Stage)


def test_help_does_not_wait_for_heavy_libraries():
    check = (
        "import sys; import service.cli.attention; "
        "print([name for name in ('torch', 'numpy', 'pydantic', 'matplotlib', 'rich.progress') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout == "[]\n"
