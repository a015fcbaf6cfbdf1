"""Label selectors have kubectl's `-l` syntax and semantics."""

import pytest

from policyhub.api.selector import parse

HAS = {"shard": "a", "policyhub.dev/team": "shop"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  ", True),
        ("shard=a", True),
        ("shard == a", True),
        ("shard=b", False),
        ("zone=a", False),
        ("zone=", False),
        ("shard!=b", True),
        ("shard!=a", False),
        ("zone!=a", True),
        ("shard in (a, b)", True),
        ("shard in (b,c)", False),
        ("zone in (a)", False),
        ("shard notin (b, c)", True),
        ("shard notin (a)", False),
        ("zone notin (a)", True),
        ("shard", True),
        ("zone", False),
        ("!zone", True),
        ("!shard", False),
        ("policyhub.dev/team=shop", True),
        ("shard in (a,b),policyhub.dev/team=shop", True),
        ("shard in (a,b), policyhub.dev/team=pay", False),
        ("shard=a,!shard", False),
    ],
)
def test_matching(text: str, expected: bool) -> None:  # noqa: FBT001  (a column of the table above)
    """A selector matches labels that match each of its terms."""
    assert parse(text).matches(HAS) is expected


def test_an_empty_value_is_a_value() -> None:
    """`shard=` matches a label with an empty value."""
    assert parse("shard=").matches({"shard": ""})


@pytest.mark.parametrize("text", ["shard in a", "=a", "shard=a b", "shard=a,", "!shard=a", "shard in (a", "-a", "a//b"])
def test_invalid_selectors(text: str) -> None:
    """The error shows the invalid part."""
    with pytest.raises(ValueError, match="not a label selector"):
        parse(text)
