"""Strings as Security Hub takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.findings.limits import ELLIPSIS, clean, cut, fit, fit_distinct, length

ANY = st.text(st.characters(codec=None), max_size=60) | st.text("a\U0001f600é\u2028\ud800 \n", max_size=60)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("  two   blanks ", "two blanks"),
        ("line\nbreak\r\n\ttab", "line break tab"),
        ("", None),
        (" \t\n", None),
        ("\u00a0\u3000\ufeff\x00", None),
        ("nul\x00l", "nul l"),
        ("Größe 😀", "Größe 😀"),
        ("half \ud83d surrogate", "half surrogate"),
        ("exe\u202egnp", "exe gnp"),
        ("a\u2028b\x85c", "a b c"),
    ],
)
def test_cleaning(text: str, cleaned: str | None) -> None:
    """One line of readable text, or None."""
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a bcd", 3, "a…"),
        ("😀😀", 4, "😀😀"),
        ("😀😀", 3, "😀…"),
        ("😀😀", 2, "…"),
        ("a😀😀", 4, "a😀…"),
        ("ééé", 3, "ééé"),
    ],
)
def test_cutting(text: str, limit: int, kept: str) -> None:
    """A character beyond the basic plane counts two and is never halved; an ellipsis says that something is missing."""
    assert cut(text, limit) == kept


@given(ANY, st.integers(1, 40))
def test_what_fits_is_short_clean_and_readable(text: str, limit: int) -> None:
    """For any text and limit; and what needed no change is not changed."""
    fitted = fit(text, limit)
    if fitted is None:
        assert clean(text) is None
        return
    assert length(fitted) == len(fitted.encode("utf-16-le")) // 2 <= limit
    assert clean(fitted) == fitted
    assert fitted == clean(text) or fitted.endswith(ELLIPSIS)


@given(ANY, ANY)
def test_long_ids_stay_apart(one: str, other: str) -> None:
    """An id that is cut or cleaned still tells its text from others."""
    fitted = fit_distinct(one, 30), fit_distinct(other, 30)
    assert all(length(text) <= 30 and clean(text) == text for text in fitted)
    assert (fitted[0] == fitted[1]) == (one == other)
