"""A new variant is one class and one registry entry: the contract tests then run on it, and find it out."""

import pytest

from tests.models.contract_runs import Outcomes, run_contract

CONTRACT = "tests/models/test_encoder.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcomes, Outcomes]:
    """Run the contract tests, untouched, in a process whose registry has two more entries."""
    report = tmp_path_factory.mktemp("toys") / "report.xml"
    passed: Outcomes = {}
    failed: Outcomes = {}
    for test, parameters, wrong in run_contract(
        CONTRACT, "tests.models.attention.toy_plugin", "toy or causal", report
    ):
        variant, _, rest = parameters.partition("-linear")
        (failed if wrong else passed).setdefault(test + rest, set()).add(variant)
    return passed, failed


def test_a_toy_variant_passes_all_contract_tests(outcomes: tuple[Outcomes, Outcomes]):
    passed, failed = outcomes
    assert not any("toy" in variants or "causal" in variants for variants in failed.values())
    assert {test for test, variants in passed.items() if "toy" in variants} == {
        test for test, variants in passed.items() if "causal" in variants
    }
    assert len(passed) >= 10


def test_a_toy_whose_step_is_wrong_is_found_out(outcomes: tuple[Outcomes, Outcomes]):
    passed, failed = outcomes
    caught = {test for test, variants in failed.items() if "wrong-toy" in variants}
    assert caught == {
        "test_forward_is_the_fold_of_step-0",
        "test_forward_is_the_fold_of_step-1",
        "test_forward_is_the_fold_of_step-63",
        "test_forward_is_the_fold_of_step-100",
        "test_gradients_of_forward_and_step_agree",
        "test_inspect_says_how_forward_came_to_its_result",
    }
    assert "wrong-toy" in passed["test_a_batch_changes_nothing_for_its_members"]
