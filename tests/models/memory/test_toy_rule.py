"""A new rule is one class and one registry entry: the contract tests then run on it, and find it out."""

from typing import cast

import pytest
import torch

from models.config import AttentionOptions
from models.memory import MEMORY_RULES, MemoryRule
from tests.models.attention.layers import words
from tests.models.conftest import TINY, tiny
from tests.models.contract_runs import Outcomes, run_contract
from tests.models.memory.toys import MeanRule

CONTRACT = "tests/models/memory/test_contract.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcomes, Outcomes]:
    """Run the contract tests, untouched, in a process whose registry has two more entries."""
    report = tmp_path_factory.mktemp("toys") / "report.xml"
    passed: Outcomes = {}
    failed: Outcomes = {}
    for test, parameters, wrong in run_contract(
        CONTRACT, "tests.models.memory.toy_plugin", "toy or linear", report
    ):
        (failed if wrong else passed).setdefault(test, set()).add(parameters)
    return passed, failed


def test_a_toy_rule_passes_all_contract_tests(outcomes: tuple[Outcomes, Outcomes]):
    passed, failed = outcomes
    assert not any("toy" in rules or "linear" in rules for rules in failed.values())
    assert {test for test, rules in passed.items() if "toy" in rules} == {
        test for test, rules in passed.items() if "linear" in rules
    }
    assert len(passed) >= 9


def test_a_toy_whose_slow_twin_is_wrong_is_found_out(outcomes: tuple[Outcomes, Outcomes]):
    passed, failed = outcomes
    assert {test for test, rules in failed.items() if "wrong-toy" in rules} == {
        "test_write_and_read_are_their_stepwise_twins",
        "test_gradients_are_those_of_the_stepwise_twins",
    }
    assert "wrong-toy" in passed["test_memories_of_two_texts_make_that_of_both"]


def test_an_encoder_takes_whatever_parts_a_rule_has(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(cast("dict[str, MemoryRule]", MEMORY_RULES), "linear", MeanRule())
    encoder = tiny("infini", AttentionOptions(memory_rule="linear", gate_logit=0.3))
    fast, slow = [encoder.empty_memory()], encoder.empty_memory()
    width = TINY.head_width
    assert fast[0].shapes == {"total": (TINY.layers, TINY.heads, width), "tokens": (TINY.layers,)}
    for length in (7, 0, 9):
        segment = words(length, length)
        output, twin = encoder([segment], fast), encoder.step(segment, slow)
        torch.testing.assert_close(output.tokens, twin.tokens, atol=1e-4, rtol=1e-4)
        fast, [slow] = output.memories or [], twin.memories or []
        torch.testing.assert_close(dict(fast[0].parts), dict(slow.parts), atol=1e-4, rtol=1e-4)
    assert fast[0].parts["tokens"].tolist() == [16.0] * TINY.layers
