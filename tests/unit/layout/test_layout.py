"""What the repository's layout must never become."""

import operator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_operator_is_no_package() -> None:
    """`operator/` is a source root: an `__init__.py` there would shadow the standard library's module of that name."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 1) == 2


def test_lock_files_name_no_index() -> None:
    """Locked requirements hold versions and hashes, and no address: any mirror serves."""
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
