"""One voice of several callers."""

from itertools import permutations

import msgspec
import pytest

from policyhub.findings.representative import representative_claim
from policyhub.model.violation import SourceKey, Subject, Violation

LOW = Violation(
    source="s",
    policy="p",
    rule="r",
    subject=Subject("", "Pod", "n", "p"),
    discriminator="",
    result="fail",
    severity="LOW",
    category="",
    message="b",
)
HIGH = msgspec.structs.replace(LOW, severity="HIGH")
SMALLER = msgspec.structs.replace(HIGH, message="a")
UNCERTAIN = msgspec.structs.replace(LOW, result="error", severity="CRITICAL")


def key(name: str) -> SourceKey:
    return SourceKey("wgpolicyk8s.io", "policyreports", "n", name)


def test_the_worst_speaks_whoever_it_is() -> None:
    """Neither the order nor the names of the callers matter."""
    for order in permutations([LOW, HIGH, SMALLER, UNCERTAIN]):
        assert representative_claim({key(str(place)): claim for place, claim in enumerate(order)}) == SMALLER


def test_a_single_caller_speaks() -> None:
    """The common case: one report."""
    assert representative_claim({key("a"): LOW}) is LOW


def test_nobody_has_no_voice() -> None:
    """A finding that nobody calls for is archived, not rendered."""
    with pytest.raises(ValueError, match="empty"):
        representative_claim({})
