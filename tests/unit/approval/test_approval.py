"""The annotation with which a person approves archiving."""

import re

import pytest

from policyhub.clock import WallMs
from policyhub.cluster import approval

NOW = WallMs(1_790_000_000_000)  # 2026-09-21T14:13:20Z


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
        pytest.param("Trivy%20ConfigAudit@2026-09-21T14:13:20Z", {"Trivy ConfigAudit": NOW}, id="encoded"),
        pytest.param("x%2Ckyverno@2026-09-21T14:13:20Z", {"x,kyverno": NOW}, id="an encoded comma"),
        pytest.param("50%@2026-09-21T14:13:20Z", {"50%": NOW}, id="a percent sign that encodes nothing"),
        pytest.param("%ff@2026-09-21T14:13:20Z", {"%ff": NOW}, id="encoded, but no text"),
        pytest.param("kyverno", {}, id="no time"),
        pytest.param("kyverno@tomorrow", {}, id="no time that can be read"),
        pytest.param("@2026-09-21T14:13:20Z", {}, id="no name"),
        pytest.param("kyverno@,gatekeeper@2026-09-21T14:13:20Z", {"gatekeeper": NOW}, id="one of two unreadable"),
    ],
)
def test_approved_engines(text: str, expected: dict[str, WallMs]) -> None:
    """An unreadable entry approves nothing, and does not affect the others."""
    assert approval.parse(text) == expected


def test_an_approval_keeps_others_and_drops_expired_ones() -> None:
    """The annotation does not grow for ever, and a second approval does not revoke the first."""
    text = "old@2026-09-21T14:13:19Z,kyverno@2026-09-21T14:13:30Z"
    merged = approval.merged(text, source="gatekeeper", until=NOW + 60_000, now=NOW)
    assert approval.parse(merged) == {"kyverno": NOW + 10_000, "gatekeeper": NOW + 60_000}


SOURCES = [
    "x,kyverno",
    "kyverno@2030-01-01T00:00:00Z,gatekeeper",
    "Trivy ConfigAudit",
    " kyverno ",
    "kyverno%20",
    "a/b;$(reboot)`x`\"'",
    "日本\ud800",
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_cannot_approve_others(source: str) -> None:
    """Whatever name a report gives its source: the annotation is read back as intended, and is safe within quotes."""
    text = approval.merged("kubewarden@2026-09-21T14:13:30Z", source=source, until=NOW + 60_000, now=NOW)
    expected = source.replace("\ud800", "?")
    assert approval.parse(text) == {"kubewarden": NOW + 10_000, expected: NOW + 60_000}
    assert re.fullmatch(r"[A-Za-z0-9_.~%@:,-]+", text)
