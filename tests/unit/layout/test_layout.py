"""Invariants of the repository's layout."""

import operator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_operator_is_not_a_package() -> None:
    """`operator/` is a source root: an `__init__.py` there would shadow the standard library's module of that name."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 1) == 2


def test_lock_files_have_no_index() -> None:
    """Locked requirements have versions and hashes, and no address: any mirror works."""
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert [lock.name for lock in locks] == [
        "audit.lock",
        "browser.lock",
        "dev.lock",
        "docs.lock",
        "lint.lock",
        "run.lock",
    ]
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text
