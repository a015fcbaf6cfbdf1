"""The report of stories: one line each, and unneeded imports by outcome."""

import pytest

from tests.faults import stories


@pytest.mark.parametrize(("problems", "expected"), [([], "ok  s, 7 s"), (["x"], "BROKEN  s, 7 s\n    x")])
def test_a_line(problems: list[str], expected: str) -> None:
    assert stories.line("s", problems, seconds=7.2) == expected


def test_unneeded_imports_are_counted() -> None:
    """By outcome; no import is no problem."""
    sent = [{"outcome": "archived"}, {"outcome": "archived"}, {"outcome": "changed"}]
    assert list(stories.unneeded_imports(sent)) == [
        "2 unneeded imports: archived",
        "1 unneeded imports: changed",
    ]
    assert not list(stories.unneeded_imports([]))
