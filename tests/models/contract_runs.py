"""Contract tests run in a process whose registry has more entries than ours."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[2]

Outcomes = dict[str, set[str]]
"""Test to the entries with which it passed, or with which it failed."""


def run_contract(
    contract: str, plugin: str, selection: str, report: Path
) -> Iterator[tuple[str, str, bool]]:
    """Run a file of contract tests, untouched; yield each test, its parameters and whether it failed."""
    arguments = [contract, "-p", plugin, "-k", selection, "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--junit-xml={report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # tests ran, and some failed
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by the line above
        test, _, parameters = case.attrib["name"].partition("[")
        wrong = case.find("failure") is not None or case.find("error") is not None
        assert case.find("skipped") is None
        yield test, parameters.removesuffix("]"), wrong
