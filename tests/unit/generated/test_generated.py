"""The committed generated files are up to date."""

import functools
from pathlib import Path

import pytest

from dev import generated

ROOT = Path(__file__).parents[3]


@functools.cache
def stale() -> tuple[Path, ...]:
    return tuple(generated.stale(ROOT))


@pytest.mark.parametrize("path", generated.generated(ROOT), ids=str)
def test_committed_files_are_up_to_date(path: Path) -> None:
    """After a change of their inputs: `make generate`."""
    assert path not in stale()
