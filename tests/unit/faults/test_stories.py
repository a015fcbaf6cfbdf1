"""How stories are told."""

import pytest

from tests.faults import stories


@pytest.mark.parametrize(("problems", "told"), [([], "ok  s, 7 s"), (["x"], "BROKEN  s, 7 s\n    x")])
def test_a_line(problems: list[str], told: str) -> None:
    assert stories.line("s", problems, seconds=7.2) == told


def test_imports_that_nothing_called_for_are_counted() -> None:
    """By outcome; none is no problem."""
    sent = [{"outcome": "archived"}, {"outcome": "archived"}, {"outcome": "changed"}]
    assert list(stories.needless(sent)) == [
        "2 imports that nothing called for: archived",
        "1 imports that nothing called for: changed",
    ]
    assert not list(stories.needless([]))
