"""The demo itself, from its first line to its last."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 600
"""Far more than it takes, for machines on which the control plane is built first."""


def played(*options: str) -> str:
    """What it prints where it ends well."""
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
    assert "Everything went as it should." in run.stdout
    return run.stdout


def test_the_demo_ends_well() -> None:
    """`python -m dev.demo --plain` tells its eight steps, finds that everything is as it should be, and ends with 0."""
    told = played()
    for step in range(1, 9):
        assert f"\n{step}. " in told
    assert "Calls to AWS: 0." in told


def test_the_fleet_ends_well() -> None:
    """With `--fleet` three clusters of two accounts are monitored by role, and one that was deleted is told as gone."""
    told = played("--fleet")
    for step in range(1, 6):
        assert f"\n{step}. " in told
    assert "findings of three clusters" in told
    assert "policyhub retire" in told
