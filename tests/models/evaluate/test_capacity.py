"""How many bindings the memory rules hold, and whether the measure says so."""

import pytest
import torch
import typer
from typer.testing import CliRunner

from models.evaluate.capacity import (
    SIZES,
    Capacity,
    as_markdown,
    hebbian,
    main,
    measure,
    recalls,
    widrow_hoff,
)
from models.memory import MEMORY_RULES


@pytest.fixture(scope="module", params=[0, 1])
def rows(request: pytest.FixtureRequest) -> dict[str, Capacity]:
    sizes = [size for size in SIZES if size <= 256]
    return {
        name: measure(recall, name, sizes, trials=4, seed=request.param)
        for name, recall in recalls().items()
    }


def test_every_rule_has_a_row(rows: dict[str, Capacity]):
    assert set(MEMORY_RULES) < set(rows)
    for row in rows.values():
        assert row.accuracy[1] == 1
        assert row.accuracy[256] < 0.5


def test_ridge_holds_eight_times_what_the_rules_of_the_paper_hold(rows: dict[str, Capacity]):
    assert rows["ridge"].held() >= 32
    for name in ("linear", "delta", "delta-corrected"):
        assert rows["ridge"].held() >= 8 * max(1, rows[name].held())
        assert rows[name].accuracy[16] < 0.5 < rows["ridge"].accuracy[64]


def test_what_the_features_cost_the_linear_rule(rows: dict[str, Capacity]):
    raw = rows["unit keys, sum"]
    assert raw.held() >= 8 * rows["linear"].held()
    assert rows["ridge"].held() > raw.held()
    assert raw.accuracy[64] > rows["unit keys, delta"].accuracy[64]


def test_delta_is_linear_until_it_has_a_segment_to_read(rows: dict[str, Capacity]):
    assert rows["delta"].accuracy[8] == rows["linear"].accuracy[8]
    assert rows["delta"].accuracy[32] != rows["linear"].accuracy[32]


def test_the_measure_counts_keys_that_find_their_own_value():
    assert measure(lambda _, value: value, "all", [8]).accuracy == {8: 1.0}
    assert measure(lambda _, value: value.roll(1, 0), "none", [8]).accuracy == {8: 0.0}

    def half(key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return torch.cat([value[:4], -value[4:]])

    assert measure(half, "half", [8]).accuracy == {8: 0.5}


def test_held_stops_at_the_first_failure():
    assert Capacity("a", {8: 0.99, 4: 0.5, 2: 0.9, 1: 1.0}).held() == 2
    assert Capacity("b", {1: 0.8, 2: 1.0}).held() == 0


def test_orthogonal_keys_are_read_back_whole():
    key, value = torch.eye(4, 8).unsqueeze(1), torch.randn(4, 1, 3)
    for recall in (hebbian, widrow_hoff):
        torch.testing.assert_close(recall(3 * key, value), value)


def test_one_key_twice_sums_or_is_overwritten():
    key, value = torch.ones(2, 1, 4), torch.tensor([[[1.0]], [[5.0]]])
    torch.testing.assert_close(hebbian(key, value), torch.full((2, 1, 1), 6.0))
    torch.testing.assert_close(widrow_hoff(key, value), torch.full((2, 1, 1), 5.0))


def test_the_table_is_markdown():
    rows = [Capacity("a", {1: 1.0, 2: 0.95}), Capacity("b", {1: 1.0, 2: 0.254})]
    assert as_markdown(rows).splitlines() == [
        "| rule | 1 | 2 | held at 0.9 |",
        "| --- | ---: | ---: | ---: |",
        "| a | 1.00 | 0.95 | 2 |",
        "| b | 1.00 | 0.25 | 1 |",
    ]


def test_the_command_prints_every_rule_and_the_same_figures_again():
    app = typer.Typer()
    app.command()(main)
    one, other = (CliRunner().invoke(app, ["--trials", "1", "--seed", "3"]) for _ in range(2))
    assert one.exit_code == 0, one.output
    assert one.output == other.output
    lines = one.output.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == list(recalls())
    assert lines[0].count("|") == len(SIZES) + 3
