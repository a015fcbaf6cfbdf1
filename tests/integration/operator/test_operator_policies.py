"""What policies say of themselves, from policy objects on a real API server to the hub."""

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
def told(engines: World) -> Iterator[World]:
    engines.clear()
    engines.apply(
        policy("require-probes", title="Require Probes", description="Probes tell whether it lives.", controls="C-1"),
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


def test_findings_say_what_their_policies_say(told: World) -> None:
    """At once, not plain first; a restart sends nothing."""
    told.monitor()
    told.start()
    told.well()
    assert titles(told) == TOLD
    assert outcomes(told.journal()) == ["created"] * 3
    probes, repos = told.of("require-probes")["web"], told.of("K8sAllowedRepos")["pod-a"]
    assert probes["Description"].endswith("About the policy: Probes tell whether it lives.")
    assert probes["Compliance"]["RelatedRequirements"] == ["C-1"]
    assert repos["FindingProviderFields"]["Severity"]["Label"] == "CRITICAL"
    said = told.await_condition("PoliciesKnown", "True", reason="Watched")
    assert said["message"] == "3 kinds of policies are listed and watched"  # the API server's own among them

    told.end()
    mark = told.mark()
    told.start()
    told.synced()
    assert told.journal(mark) == []


def test_a_policy_that_says_something_else(told: World) -> None:
    """Its violations are sent once more, once, and no others; what a controller writes about a policy is no news. The
    words of one that is deleted stand, and its finding is archived when its result goes.
    """
    told.monitor(archiveDelay="2s")
    told.start()
    told.well()
    mark = told.mark()
    told.apply(policy("require-probes", title="Require Probes", description="Without probes nobody knows."))
    told.until(
        lambda: "nobody knows" in told.of("require-probes")["web"]["Description"], "the finding to say the new words"
    )
    told.apply(
        {**policy("require-probes", title="Require Probes", description="Without probes nobody knows."), "spec": {}}
    )
    told.apply(report("marker", result("marker")))
    told.await_states("marker", marker="ACTIVE")
    told.synced()
    assert outcomes(told.journal(mark)) == ["changed", "created"]

    mark = told.mark()
    told.delete(policy("require-probes"))
    told.apply(report("marker", result("marker"), result("second")))
    told.await_states("second", marker="ACTIVE")
    assert outcomes(told.journal(mark)) == ["created"]
    told.apply(report("web", result("untold")))
    told.await_states("require-probes", web="ARCHIVED")
    assert told.of("require-probes")["web"]["Title"].startswith("Require Probes:")
    assert outcomes(told.journal(mark)) == ["archived", "created"]


def test_without_the_right_to_list_policies(told: World) -> None:
    """Findings say what the reports say, a condition tells what to do, and all is well; once allowed, they say more."""
    role = told.cluster.request("GET", ROLE)
    rules = [rule for rule in role["rules"] if not GROUPS & {*rule["apiGroups"]}]
    told.cluster.request("PUT", ROLE, {**role, "rules": rules})
    try:
        told.monitor()
        told.start()
        told.well()
        assert titles(told) == PLAIN
        assert "rbac.enrichment" in told.await_condition("PoliciesKnown", "False", reason="Forbidden")["message"]
    finally:
        current = told.cluster.request("GET", ROLE)
        told.cluster.request("PUT", ROLE, {**current, "rules": role["rules"]})
    told.until(lambda: titles(told) == TOLD, "the findings to say what their policies say")
    assert outcomes(told.journal()) == [*["changed"] * 2, *["created"] * 3]


def test_enrichment_that_is_not_asked_for(told: World) -> None:
    """No policy is read."""
    told.monitor(enrichment=False)
    told.start()
    told.well()
    assert titles(told) == PLAIN
    told.await_condition("PoliciesKnown", "False", reason="EnrichmentOff")


def test_an_engine_that_comes_later(engines: World) -> None:
    """Its kinds of policies are found while the operator is at work."""
    engines.clear()
    engines.cluster.remove_crd("constrainttemplates", "templates.gatekeeper.sh")
    engines.apply(constraint("registry", "pod-a"))
    engines.monitor()
    engines.start()
    engines.well()
    assert titles(engines) == {"K8sAllowedRepos": "Allowed repos, registry"}
    engines.cluster.apply([TEMPLATES])
    engines.apply(template("K8sAllowedRepos", title="Allowed Repositories", severity="low"))
    wanted: dict[str, Any] = {"K8sAllowedRepos": "Allowed Repositories, registry"}
    engines.until(lambda: titles(engines) == wanted, "the finding to say what its template says")
    engines.clear()
