"""How stories are told, and that one which is known to be open hides no other."""

import pytest

from tests.faults import stories
from tests.faults.stories import Story


@pytest.mark.parametrize(
    ("problems", "why", "told"),
    [
        pytest.param([], "", "ok  s, 7 s", id="right"),
        pytest.param([], "known", "ok  s, 7 s", id="right, although it was open"),
        pytest.param(["x"], "", "BROKEN  s, 7 s\n    x", id="wrong"),
        pytest.param(["x"], "known", "open (known)  s, 7 s\n    x", id="known to be wrong"),
    ],
)
def test_a_line(monkeypatch: pytest.MonkeyPatch, problems: list[str], why: str, told: str) -> None:
    monkeypatch.setattr(stories, "STORIES", {"s": Story("s", lambda _: iter(()), why)})
    assert stories.line("s", problems, seconds=7.2) == told


def test_imports_that_nothing_called_for_are_counted() -> None:
    """By outcome; none is no problem."""
    sent = [{"outcome": "archived"}, {"outcome": "archived"}, {"outcome": "changed"}]
    assert list(stories.needless(sent)) == [
        "2 imports that nothing called for: archived",
        "1 imports that nothing called for: changed",
    ]
    assert not list(stories.needless([]))
