"""The workloads of the real engines' test company have exactly the flaws that its policies detect."""

from dataclasses import replace

import pytest

from dev.company.workload import WORKLOADS, Workload
from dev.engines import company, policies, truth
from dev.engines.rules import PAYMENTS, RULES, Rule

SEARCH = next(workload for workload in WORKLOADS if workload.name == "search")
"""Its own image is from a foreign registry."""
NIGHTLY = replace(SEARCH, kind="CronJob")
PODS = [rule for rule in RULES if rule.kind == "Pod"]


def test_each_flaw_has_a_rule() -> None:
    """And each rule a flaw."""
    assert [rule.flaw for rule in RULES] == [*company.FLAWS]
    assert len({rule.template for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", PODS, ids=lambda rule: rule.flaw)
@pytest.mark.parametrize("workload", [SEARCH, NIGHTLY], ids=lambda workload: workload.kind)
def test_a_flaw_changes_the_manifest(workload: Workload, rule: Rule) -> None:
    """The workload with it differs from the one without."""
    (without, *_), (having, *_) = company.manifests(workload, ()), company.manifests(workload, {rule.flaw})
    assert without != having
    assert without["metadata"] == having["metadata"]


def test_expected_violations() -> None:
    """A workload without flaws has none; one with a flaw has them from both engines; a CronJob, whose Pods run at
    night, from Kyverno only.
    """
    web, report = ("Deployment", "shop", "web"), ("CronJob", "payments", "reconcile")
    assert not truth.wanted({web: ()})
    output = [
        (violation.source, violation.policy, violation.rule) for violation in truth.about(*web, {web: {"latest"}})
    ]
    assert output == [
        ("KyvernoValidatingPolicy", "harbour-latest", ""),
        ("gatekeeper", "HarbourLatest", "no-latest"),
    ]
    assert {violation.source for violation in truth.about(*report, {report: {"root"}})} == {"kyverno"}


def test_flaws_implied_by_the_api_server() -> None:
    """A privileged container can always gain privileges."""
    agent = ("DaemonSet", "platform", "node-agent")
    policies_ = {violation.policy for violation in truth.about(*agent, {agent: {"privileged"}})}
    assert policies_ == {"harbour-privileged", "harbour-escalation", "HarbourPrivileged", "HarbourEscalation"}


def test_a_policy_of_one_namespace() -> None:
    """It applies in its namespace, under a name with the namespace."""
    here, there = ("Deployment", "payments", "gateway"), ("Deployment", "shop", "web")
    flaws = {here: {"token"}, there: {"token"}}
    assert "payments/harbour-token" in {violation.policy for violation in truth.about(*here, flaws)}
    assert "payments/harbour-token" not in {violation.policy for violation in truth.about(*there, flaws)}


def test_every_kind_of_policy_exists() -> None:
    """A cluster policy, one in CEL, a namespaced one; constraints that only report, warn, and are scoped."""
    documents = [policies.kyverno(rule) for rule in (*RULES, PAYMENTS)]
    assert {document["kind"] for document in documents} == {"ClusterPolicy", "ValidatingPolicy", "Policy"}
    actions = {policies.constraint(rule)["spec"]["enforcementAction"] for rule in RULES}
    assert actions == {"dryrun", "warn", "scoped"}
    assert len(documents) >= 20
