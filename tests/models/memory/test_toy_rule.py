"""A new rule is one class and one registry entry: the contract tests then run on it, and find it out."""

import subprocess
import sys
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import pytest
import torch

from models.config import AttentionOptions
from models.memory import MEMORY_RULES, MemoryRule
from tests.models.attention.layers import words
from tests.models.conftest import TINY, tiny
from tests.models.memory.toys import MeanRule

ROOT = Path(__file__).parents[3]
CONTRACT = "tests/models/memory/test_contract.py"

Outcomes = dict[str, set[str]]
"""Test to the rules with which it passed, or with which it failed."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcomes, Outcomes]:
    """Run the contract tests, untouched, in a process whose registry has two more entries."""
    report = tmp_path_factory.mktemp("toys") / "report.xml"
    arguments = [CONTRACT, "-p", "tests.models.memory.toy_plugin", "-k", "toy or linear", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--junit-xml={report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # tests ran, and some failed
    passed: Outcomes = {}
    failed: Outcomes = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by the line above
        test, _, parameters = case.attrib["name"].partition("[")
        wrong = case.find("failure") is not None or case.find("error") is not None
        assert case.find("skipped") is None
        (failed if wrong else passed).setdefault(test, set()).add(parameters.removesuffix("]"))
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
