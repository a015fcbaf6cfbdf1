"""The company that the real engines look at: its manifests have the flaws that its policies look for."""

from dataclasses import replace

import pytest

from dev.company.workload import WORKLOADS, Workload
from dev.engines import company, policies, truth
from dev.engines.rules import PAYMENTS, RULES, Rule

SEARCH = next(workload for workload in WORKLOADS if workload.name == "search")
"""Its own image is of a foreign registry."""
NIGHTLY = replace(SEARCH, kind="CronJob")
PODS = [rule for rule in RULES if rule.kind == "Pod"]


def test_each_flaw_has_its_rule() -> None:
    """What may be wrong is what is looked for."""
    assert [rule.flaw for rule in RULES] == [*company.FLAWS]
    assert len({rule.template for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", PODS, ids=lambda rule: rule.flaw)
@pytest.mark.parametrize("workload", [SEARCH, NIGHTLY], ids=lambda workload: workload.kind)
def test_a_flaw_shows_in_the_manifest(workload: Workload, rule: Rule) -> None:
    """With it the workload is another one than without."""
    (without, *_), (having, *_) = company.manifests(workload, ()), company.manifests(workload, {rule.flaw})
    assert without != having
    assert without["metadata"] == having["metadata"]


def test_a_workload_without_flaws_is_not_called_for() -> None:
    """And one with a flaw is called for by both engines; a CronJob, whose Pods come at night, by Kyverno alone."""
    web, report = ("Deployment", "shop", "web"), ("CronJob", "payments", "reconcile")
    assert not truth.wanted({web: ()})
    named = [(violation.source, violation.policy, violation.rule) for violation in truth.about(*web, {web: {"latest"}})]
    assert named == [
        ("KyvernoValidatingPolicy", "harbour-latest", ""),
        ("gatekeeper", "HarbourLatest", "no-latest"),
    ]
    assert {violation.source for violation in truth.about(*report, {report: {"root"}})} == {"kyverno"}


def test_what_the_api_server_forces() -> None:
    """A privileged container can always gain privileges."""
    agent = ("DaemonSet", "platform", "node-agent")
    policies_ = {violation.policy for violation in truth.about(*agent, {agent: {"privileged"}})}
    assert policies_ == {"harbour-privileged", "harbour-escalation", "HarbourPrivileged", "HarbourEscalation"}


def test_a_policy_of_one_namespace() -> None:
    """It reports what exists, by a name with its namespace."""
    here, there = ("Deployment", "payments", "gateway"), ("Deployment", "shop", "web")
    flaws = {here: {"token"}, there: {"token"}}
    assert "payments/harbour-token" in {violation.policy for violation in truth.about(*here, flaws)}
    assert "payments/harbour-token" not in {violation.policy for violation in truth.about(*there, flaws)}


def test_every_kind_of_policy_is_there() -> None:
    """A policy of the cluster, one in CEL, one of a namespace; constraints that tell, warn, and are scoped."""
    documents = [policies.kyverno(rule) for rule in (*RULES, PAYMENTS)]
    assert {document["kind"] for document in documents} == {"ClusterPolicy", "ValidatingPolicy", "Policy"}
    actions = {policies.constraint(rule)["spec"]["enforcementAction"] for rule in RULES}
    assert actions == {"dryrun", "warn", "scoped"}
    assert len(documents) >= 20
