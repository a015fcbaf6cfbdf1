"""Runs the demo from start to end."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 600
"""Far more than needed, for machines that build the control plane first."""


def played(*options: str) -> str:
    """The output of a successful run."""
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "dev.demo", "--plain", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert "FAILED" not in run.stdout
    assert "Everything worked as expected." in run.stdout
    return run.stdout


def test_the_demo_succeeds() -> None:
    """`python -m dev.demo --plain` prints its eight steps, finds the expected state, and ends with 0."""
    output = played()
    for step in range(1, 9):
        assert f"\n{step}. " in output
    assert "AWS calls: 0." in output


def test_the_fleet_demo_succeeds() -> None:
    """With `--fleet` three clusters of two accounts are monitored by role, and a deleted one is reported as gone."""
    output = played("--fleet")
    for step in range(1, 6):
        assert f"\n{step}. " in output
    assert "findings of three clusters" in output
    assert "policyhub retire" in output
