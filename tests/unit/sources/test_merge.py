"""Which of several statements speaks."""

from itertools import permutations

import msgspec
import pytest

from policyhub.model.violation import Result, Severity, Subject, Violation
from policyhub.sources.merge import worst


def violation(result: Result, severity: Severity | None, message: str = "m") -> Violation:
    return Violation(
        source="s",
        policy="p",
        rule="r",
        subject=Subject("", "Pod", "n", "p"),
        discriminator="",
        result=result,
        severity=severity,
        category="",
        message=message,
    )


IN_ORDER = [
    violation("fail", "CRITICAL"),
    violation("fail", "HIGH"),
    violation("fail", "MEDIUM"),
    violation("fail", None),
    violation("fail", "LOW", "a"),
    violation("fail", "LOW", "b"),
    violation("fail", "INFORMATIONAL"),
    violation("warn", "CRITICAL"),
    violation("error", "CRITICAL"),
    violation("error", None),
]


@pytest.mark.parametrize("place", range(len(IN_ORDER) - 1))
def test_the_worst_speaks(place: int) -> None:
    """Result, then severity (none counts between LOW and MEDIUM), then the smaller message."""
    assert worst(reversed(IN_ORDER[place:])) == IN_ORDER[place]


def test_equal_statements_differ_by_what_is_left() -> None:
    """Even what differs in the properties alone has one speaker, in whatever order it comes."""
    violations = [msgspec.structs.replace(IN_ORDER[0], properties=((key, "v"),)) for key in "bac"]
    assert {worst(order).properties for order in permutations(violations)} == {(("a", "v"),)}
