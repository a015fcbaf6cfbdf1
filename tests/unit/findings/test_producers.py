"""Each producer's samples against their golden files, through both report APIs, and the page that shows them."""

import pytest

from policyhub.api.monitoredcluster import Sources
from policyhub.model.source_apis import REPORT_GROUPS
from policyhub.sources.filter import Filter
from tests.unit.findings import mapping

WRITE = "`python -m tests.unit.findings.mapping --write` writes it anew; read the difference"


@pytest.mark.parametrize("name", mapping.names())
def test_a_sample_reads_as_its_golden_file(name: str) -> None:
    """Every member of every finding, what was left out and why, and whether the object tells all."""
    expected = (mapping.SAMPLES / f"{name}.findings.json").read_text("utf-8")
    assert mapping.golden(name) == expected, WRITE


@pytest.mark.parametrize("name", [name for name in mapping.names() if name != "gatekeeper"])
def test_all_report_apis_say_the_same(name: str) -> None:
    """A cluster that moves from one report API to another, such as wgpolicyk8s.io to openreports.io, has nothing to
    send.
    """
    for document in mapping.documents(name):
        one = mapping.read(document)
        others = [mapping.read(other) for other in mapping.resaid(document)]
        assert len(others) == len(REPORT_GROUPS) - 1
        for other in others:
            assert one.key != other.key
            assert mapping.essence(one) == mapping.essence(other)
            assert one.violations == other.violations


def test_what_and_where_are_within_80_characters() -> None:
    """Of the title and of the description, for names as people give them."""
    for name in mapping.names():
        for document in mapping.documents(name):
            for finding in mapping.findings(mapping.read(document)):
                assert "prod-eu" in finding["Title"][:80], finding["Title"]
                assert "prod-eu" in finding["Description"][:80], finding["Description"]


def test_event_logs_and_vulnerabilities_are_left_out_by_default() -> None:
    """The defaults of spec.sources; without them they are findings like all others."""
    default = Filter(exclude_sources=Sources().exclude, event_logs=Sources().event_logs)
    names = mapping.names()
    violations_by_name = {
        name: [v for d in mapping.documents(name) for v in mapping.read(d).plain_violations] for name in names
    }
    left_out = {name: {v.source for v in violations_by_name[name] if not default.admits(v)} for name in names}
    assert left_out.pop("event-logs") == {v.source for v in violations_by_name["event-logs"]}
    assert left_out.pop("trivy") == {"Trivy Vulnerability"}
    assert set().union(*left_out.values()) == set()
    assert all(Filter().admits(violation) for name in names for violation in violations_by_name[name])


def test_the_page_says_what_the_code_does() -> None:
    """Every generated part is there and is as the code has it."""
    text = mapping.PAGE.read_text("utf-8")
    assert mapping.placed(text) == mapping.blocks().keys()
    assert mapping.page(text) == text, WRITE
