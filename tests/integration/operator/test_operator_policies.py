"""Titles, descriptions and severities from policy objects on a real API server reach the findings."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev import crds
from tests.integration.operator.world import Document, World, constraint, outcomes, report, result

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/policyhub"
GROUPS = {"kyverno.io", "templates.gatekeeper.sh"}
KINDS = [crd for crd in crds.policies() if crd["spec"]["names"]["plural"] in {"clusterpolicies", "constrainttemplates"}]
TEMPLATES = KINDS[-1]


@pytest.fixture(scope="module")
def engines(home: World) -> Iterator[World]:
    home.clear()
    home.cluster.apply(KINDS)
    yield home
    for crd in KINDS:
        plural, _, group = crd["metadata"]["name"].partition(".")
        home.cluster.remove_crd(plural, group)


@pytest.fixture
def live(engines: World) -> Iterator[World]:
    engines.clear()
    engines.apply(
        policy("require-probes", title="Require Probes", description="Probes detect a dead container.", controls="C-1"),
        template("K8sAllowedRepos", title="Allowed Repositories", severity="critical"),
        report("web", result("require-probes"), result("untold")),
        constraint("registry", "pod-a"),
    )
    yield engines
    engines.clear()


def policy(name: str, **annotations: str) -> Document:
    keyed = {f"policies.kyverno.io/{key}": value for key, value in annotations.items()}
    return {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": name, "annotations": keyed}}


def template(kind: str, *, title: str, severity: str) -> Document:
    annotations = {"metadata.gatekeeper.sh/title": title, "severity": severity}
    return {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": kind.lower(), "annotations": annotations},
    }


def titles(world: World) -> dict[str, str]:
    return {about[1]: finding["Title"].partition(":")[0] for about, finding in world.found().items()}


TOLD = {"require-probes": "Require Probes", "untold": "untold", "K8sAllowedRepos": "Allowed Repositories, registry"}
PLAIN = {"require-probes": "Require probes", "untold": "untold", "K8sAllowedRepos": "Allowed repos, registry"}


def test_findings_have_their_policies_texts(live: World) -> None:
    """From the first import on; a restart sends nothing."""
    live.monitor()
    live.start()
    live.well()
    assert titles(live) == TOLD
    assert outcomes(live.journal()) == ["created"] * 3
    probes, repos = live.of("require-probes")["web"], live.of("K8sAllowedRepos")["pod-a"]
    assert probes["Description"].endswith("About the policy: Probes detect a dead container.")
    assert probes["Compliance"]["RelatedRequirements"] == ["C-1"]
    assert repos["FindingProviderFields"]["Severity"]["Label"] == "CRITICAL"
    reported = live.await_condition("PoliciesKnown", "True", reason="Watched")
    assert reported["message"] == "3 kinds of policies are listed and watched"  # one of them is the API server's own

    live.end()
    mark = live.mark()
    live.start()
    live.synced()
    assert live.journal(mark) == []


def test_a_changed_policy(live: World) -> None:
    """Its violations are sent once more, and no others; a controller's write to a policy changes nothing. The texts of
    a deleted policy stay, and its finding is archived with its result.
    """
    live.monitor(archiveDelay="2s")
    live.start()
    live.well()
    mark = live.mark()
    live.apply(policy("require-probes", title="Require Probes", description="Without probes nobody knows."))
    live.until(
        lambda: "nobody knows" in live.of("require-probes")["web"]["Description"], "the finding to have the new text"
    )
    live.apply(
        {**policy("require-probes", title="Require Probes", description="Without probes nobody knows."), "spec": {}}
    )
    live.apply(report("marker", result("marker")))
    live.await_states("marker", marker="ACTIVE")
    live.synced()
    assert outcomes(live.journal(mark)) == ["changed", "created"]

    mark = live.mark()
    live.delete(policy("require-probes"))
    live.apply(report("marker", result("marker"), result("second")))
    live.await_states("second", marker="ACTIVE")
    assert outcomes(live.journal(mark)) == ["created"]
    live.apply(report("web", result("untold")))
    live.await_states("require-probes", web="ARCHIVED")
    assert live.of("require-probes")["web"]["Title"].startswith("Require Probes:")
    assert outcomes(live.journal(mark)) == ["archived", "created"]


def test_without_the_permission_to_list_policies(live: World) -> None:
    """Findings have the texts of the reports, and a condition says what to do; once permitted, they have more."""
    role = live.cluster.request("GET", ROLE)
    rules = [rule for rule in role["rules"] if not GROUPS & {*rule["apiGroups"]}]
    live.cluster.request("PUT", ROLE, {**role, "rules": rules})
    try:
        live.monitor()
        live.start()
        live.well()
        assert titles(live) == PLAIN
        assert "rbac.enrichment" in live.await_condition("PoliciesKnown", "False", reason="Forbidden")["message"]
    finally:
        current = live.cluster.request("GET", ROLE)
        live.cluster.request("PUT", ROLE, {**current, "rules": role["rules"]})
    live.until(lambda: titles(live) == TOLD, "the findings to have their policies' texts")
    assert outcomes(live.journal()) == [*["changed"] * 2, *["created"] * 3]


def test_enrichment_can_be_disabled(live: World) -> None:
    """No policy is read."""
    live.monitor(enrichment=False)
    live.start()
    live.well()
    assert titles(live) == PLAIN
    live.await_condition("PoliciesKnown", "False", reason="EnrichmentOff")


def test_an_engine_that_is_installed_later(engines: World) -> None:
    """Its kinds of policies are found while the operator runs."""
    engines.clear()
    engines.cluster.remove_crd("constrainttemplates", "templates.gatekeeper.sh")
    engines.apply(constraint("registry", "pod-a"))
    engines.monitor()
    engines.start()
    engines.well()
    assert titles(engines) == {"K8sAllowedRepos": "Allowed repos, registry"}
    engines.cluster.apply([TEMPLATES])
    engines.apply(template("K8sAllowedRepos", title="Allowed Repositories", severity="low"))
    expected: dict[str, Any] = {"K8sAllowedRepos": "Allowed Repositories, registry"}
    engines.until(lambda: titles(engines) == expected, "the finding to have its template's text")
    engines.clear()
