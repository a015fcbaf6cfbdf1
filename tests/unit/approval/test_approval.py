"""The annotation by which a person approves of archiving."""

import pytest

from policyhub import approval

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="none"),
        pytest.param("kyverno@2026-09-21T14:13:20Z", {"kyverno": NOW}, id="one"),
        pytest.param(
            "kyverno@2026-09-21T14:13:20Z, Trivy ConfigAudit@2026-09-21T14:13:21Z",
            {"kyverno": NOW, "Trivy ConfigAudit": NOW + 1000},
            id="two, one with a space in its name",
        ),
        pytest.param("a@b@2026-09-21T14:13:20Z", {"a@b": NOW}, id="an @ in its name"),
        pytest.param("kyverno", {}, id="no time"),
        pytest.param("kyverno@tomorrow", {}, id="no time that can be read"),
        pytest.param("@2026-09-21T14:13:20Z", {}, id="no name"),
        pytest.param("kyverno@,gatekeeper@2026-09-21T14:13:20Z", {"gatekeeper": NOW}, id="one of two unreadable"),
    ],
)
def test_what_is_approved(text: str, expected: dict[str, int]) -> None:
    """What cannot be read approves of nothing, and spoils nothing else."""
    assert approval.parse(text) == expected


def test_an_approval_keeps_the_others_and_drops_those_that_ended() -> None:
    """The annotation does not grow for ever, and a second approval does not take back the first."""
    text = "old@2026-09-21T14:13:19Z,kyverno@2026-09-21T14:13:30Z"
    merged = approval.merged(text, source="gatekeeper", until=NOW + 60_000, now=NOW)
    assert approval.parse(merged) == {"kyverno": NOW + 10_000, "gatekeeper": NOW + 60_000}
