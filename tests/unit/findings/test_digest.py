"""When there is something to send."""

import msgspec
import pytest

from policyhub.findings.digest import digest
from policyhub.model.violation import Subject, Violation

VIOLATION = Violation(
    source="kyverno",
    policy="require-drop-all",
    rule="r",
    subject=Subject("apps", "Deployment", "shop", "cart"),
    discriminator="",
    result="fail",
    severity="HIGH",
    category="Pod Security",
    message="Containers must drop `ALL` capabilities: größer",
    properties=(("controls", "c"),),
    api_version="apps/v1",
)


def test_a_digest_never_changes_by_itself() -> None:
    """Another value here would import every finding of every cluster once more; a new rendering raises RENDERER."""
    assert digest(VIOLATION) == "9482ec82cd64d4dd6e879bf5e00a5ae9"


@pytest.mark.parametrize(
    "change",
    [
        {"result": "warn"},
        {"severity": "LOW"},
        {"severity": None},
        {"category": "Other"},
        {"message": "m"},
        {"properties": ()},
        {"properties": (("controls", "d"),)},
        {"properties": (("controls", ""), ("c", ""))},
    ],
    ids=str,
)
def test_what_a_reader_can_act_on_is_in_it(change: dict[str, object]) -> None:
    """A change that an analyst would want to see is sent."""
    assert digest(msgspec.structs.replace(VIOLATION, **change)) != digest(VIOLATION)


def test_the_api_version_is_not_in_it() -> None:
    """Engines differ on it, and it tells nobody what to do."""
    assert digest(msgspec.structs.replace(VIOLATION, api_version="apps/v2")) == digest(VIOLATION)


def test_the_default_severity_counts_as_said() -> None:
    """It is what the reader sees: another default is another finding, an engine that says the same is not."""
    unnamed = msgspec.structs.replace(VIOLATION, severity=None)
    assert digest(unnamed, default_severity="HIGH") == digest(VIOLATION, default_severity="LOW") == digest(VIOLATION)
    assert digest(unnamed, default_severity="LOW") != digest(unnamed)
