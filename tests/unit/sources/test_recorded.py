"""The shapes that Kyverno and Gatekeeper themselves wrote about our own company, read.

What is asserted is known from how the company was made and from what its policies are, not from what was read before.
"""

import json

import pytest

from dev.engines.rules import PAYMENTS, RULES
from policyhub.findings.digest import digest
from policyhub.model.violation import Identity, ObjectRef
from tests.unit.sources.recorded import BAD, DATA, Recorded, at, everything

BY_TEMPLATE = {rule.template: rule for rule in RULES}
SEVERITIES = {rule.result: rule.severity.upper().replace("INFO", "INFORMATIONAL") for rule in (*RULES, PAYMENTS)}


def constraint(moment: str, kind: str) -> Recorded:
    (found,) = (one for one in at(moment, "constraints") if one.document["kind"] == kind)
    return found


def test_there_is_every_shape() -> None:
    """Both report APIs, namespaced and not; all kinds of policies; every action of a constraint; a list cut short."""
    recorded = everything()
    reports = [one for one in recorded if "results" in one.document]
    assert {one.document["kind"] for one in reports} == {
        "PolicyReport",
        "ClusterPolicyReport",
        "Report",
        "ClusterReport",
    }
    results = [result for one in reports for result in one.document["results"]]
    assert {result["source"] for result in results} == {"kyverno", "KyvernoValidatingPolicy"}
    assert any(result["policy"] == "payments/harbour-token" for result in results)
    constraints = [one.document for one in recorded if "results" not in one.document]
    assert {one["spec"]["enforcementAction"] for one in constraints} == {"dryrun", "warn", "scoped"}
    assert any(one["status"]["totalViolations"] > len(one["status"]["violations"]) for one in constraints)


def test_recordings_are_small() -> None:
    """They are read by people too."""
    assert sum(path.stat().st_size for path in DATA.glob("*/*.json")) < 150_000
    assert "managedFields" not in "".join(path.read_text("utf-8") for path in DATA.glob("*/*.json"))


@pytest.mark.parametrize("one", everything(), ids=lambda one: one.name)
def test_each_object_is_read_whole(one: Recorded) -> None:
    """No problem, each bad result is a violation with the severity that its policy states, about the object itself."""
    parsed = one.read()
    assert parsed.problems == ()
    if "results" in one.document:
        bad = [result for result in one.document["results"] if result["result"] in BAD]
        scope = one.document["scope"]
        assert len(parsed.plain_violations) == len(bad)
        assert parsed.complete
        for violation in parsed.plain_violations:
            rule = violation.rule.removeprefix("autogen-cronjob-").removeprefix("autogen-")
            assert violation.severity == SEVERITIES[violation.source, violation.policy, rule]
            about = violation.subject
            assert (about.kind, about.namespace, about.name) == (
                scope["kind"],
                scope.get("namespace", ""),
                scope["name"],
            )
    else:
        listed = one.document["status"].get("violations") or ()
        assert {v.subject.name for v in parsed.plain_violations} == {entry["name"] for entry in listed}
        assert {(v.policy, v.rule) for v in parsed.plain_violations} <= {
            (one.document["kind"], one.document["metadata"]["name"])
        }


@pytest.mark.parametrize(
    ("kind", "severity", "action"),
    [
        pytest.param("HarbourHostPath", "HIGH", "dryrun", id="stated by an annotation"),
        pytest.param("HarbourUidZero", None, "warn", id="warns"),
        pytest.param("HarbourPrivileged", None, "deny", id="scoped: what it does where it is audited"),
    ],
)
def test_severity_and_action_of_a_constraint(kind: str, severity: str | None, action: str) -> None:
    """What the annotation states, else nothing; a scoped constraint lists what it does at the audit."""
    violations = constraint("company", kind).read().plain_violations
    assert violations
    assert {v.severity for v in violations} == {severity}
    assert {dict(v.properties)["enforcementAction"] for v in violations} == {action}


def test_a_list_that_gatekeeper_cut() -> None:
    """It says how many are missing, is no whole list, and speaks up to its boundary: it is in Gatekeeper's order."""
    constraints = [(one, one.read()) for one in everything() if one.group == "constraints.gatekeeper.sh"]
    assert all(reading.audited == reading.newest is not None for _, reading in constraints)
    assert all(reading.complete and reading.boundary is None for _, reading in constraints if not reading.unlisted)
    cut = [one for one in constraints if one[1].unlisted]
    assert cut
    for one, parsed in cut:
        status = one.document["status"]
        assert parsed.unlisted == status["totalViolations"] - len(status["violations"]) > 0
        assert not parsed.complete
        first = status["violations"][0]
        assert parsed.boundary == ObjectRef(
            first["group"], first["version"], first["kind"], first["namespace"], first["name"]
        )
        assert parsed.boundary == max(violation.object_ref for violation in parsed.plain_violations)


def test_both_report_apis_say_the_same() -> None:
    """After the switch to openreports the same objects have the same violations with the same digests."""

    def digests(*names: str) -> dict[Identity, str]:
        violations = [violation for one in at("openreports", *names) for violation in one.read().plain_violations]
        return {violation.identity: digest(violation) for violation in violations}

    old, new = digests("policyreports", "clusterpolicyreports"), digests("reports", "clusterreports")
    assert len(new) > 20
    assert old == new


def test_uids_fit_together() -> None:
    """A report is named by its object's uid, which is the one in the owners' metadata."""
    owners = json.loads((DATA / "company" / "owners.json").read_text("utf-8"))["items"]
    known = {(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o["metadata"]["uid"] for o in owners}
    scopes = [one.document for one in at("company", "policyreports") if one.document["scope"]["kind"] == "Pod"]
    assert scopes
    for report in scopes:
        scope = report["scope"]
        assert known[scope["kind"], scope["namespace"], scope["name"]] == scope["uid"] == report["metadata"]["name"]
