"""Foreign text: what cannot be seen is gone, what is too long is cut, and the rest is as it was written."""

import pytest

from policyhub.model.text import capped, clean, line

SEEN = ["a b", "two\nlines\tand a tab", "CRLF\r\nstays", "Überprüfung", "می‌خواهم", "👩‍💻", "a  b", "\u00a0nbsp", ""]


@pytest.mark.parametrize("text", SEEN)
def test_what_can_be_seen_stays_as_it_was_written(text: str) -> None:
    """Digests of real messages hang on that."""
    assert clean(text) == text
    assert capped(text, 1024) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "[31mred[0m", id="escape sequence"),
        pytest.param("\x9b31mred", "31mred", id="escape sequence of one character"),
        pytest.param("good\rbad", "goodbad", id="lone carriage return"),
        pytest.param("a\x00b\x07c\x08d\x7fe", "abcde", id="control characters"),
        pytest.param("\u202egnp.exe", "gnp.exe", id="reversed"),
        pytest.param("\u2066a\u2069\u200f\u061c", "a", id="isolated, marks"),
        pytest.param("kyv\u200berno", "kyverno", id="zero-width space"),
        pytest.param("a\U000e0041\U000e007fb", "ab", id="tags"),
        pytest.param("\ufeffa\ud800b\udfff", "ab", id="byte order mark, half surrogates"),
        pytest.param("a\u2028b\u2029c", "abc", id="separators"),
        pytest.param("\u3164\u115f", "", id="fillers"),
    ],
)
def test_what_cannot_be_seen_is_gone(text: str, cleaned: str) -> None:
    """Nothing of a cluster reaches a terminal's escape parser, or reads otherwise than it is."""
    assert clean(text) == cleaned


def test_what_is_too_long_is_cut_and_says_so() -> None:
    """At most `limit` characters, the ellipsis among them."""
    assert capped("x" * 11, 10) == "x" * 9 + "…"
    assert capped("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n  b\tc", "a b c"),
        ("x" * 300, "x" * 255 + "…"),
        (" " * 5_000_000 + "x", "…"),
        ("a\r\nb\x1b[2J", "a b[2J"),
        ("", ""),
    ],
)
def test_a_line_is_one_line(text: str, expected: str) -> None:
    """What a condition, an event or a log says of foreign text, however much of it there is."""
    assert line(text) == expected
