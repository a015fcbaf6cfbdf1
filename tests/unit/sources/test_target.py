"""Which object Trivy's adapter means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.model.violation import Subject, Violation
from policyhub.sources.filter import Filter, namespace_of
from policyhub.sources.target import notations, target_of


def notation(name: str, namespace: str = "") -> Subject:
    return Subject("", "", namespace, name)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (notation("kube-system/daemonset-node-proxy"), Subject("apps", "DaemonSet", "kube-system", "node-proxy")),
        (notation("shop/replicaset-web-5c7"), Subject("apps", "ReplicaSet", "shop", "web-5c7")),
        (notation("kube-system/pod-etcd-one"), Subject("", "Pod", "kube-system", "etcd-one")),
        (notation("/node-worker-1"), Subject("", "Node", "", "worker-1")),
        (notation("/clusterrole-admin"), Subject("rbac.authorization.k8s.io", "ClusterRole", "", "admin")),
        (notation("shop/5f6c7d8e9"), Subject("", "", "shop", "5f6c7d8e9")),
        (notation("shop/gadget-one"), Subject("", "", "shop", "gadget-one")),
        (notation("shop/pod-"), Subject("", "", "shop", "pod-")),
        (notation("kube-system/pod-x", "shop"), notation("kube-system/pod-x", "shop")),
        (notation("web"), notation("web")),
        (notation("shop/"), notation("shop/")),
        (Subject("", "Pod", "shop", "web"), Subject("", "Pod", "shop", "web")),
        (Subject("aquasecurity.github.io", "CISKubeBenchReport", "", "worker-1"), Subject("", "Node", "", "worker-1")),
    ],
    ids=lambda subject: "/".join(part for part in (subject.kind, subject.namespace, subject.name) if part),
)
def test_the_object_that_is_meant(subject: Subject, expected: Subject) -> None:
    """aquasecurity/trivy-operator at 1006872c1463, pkg/compliance/io.go (reportsToResults): `<namespace>/<name>` of
    Trivy's report, whose name is `<kind>-<name>` or a hash of it.
    """
    assert target_of(subject) == expected


@given(
    st.sampled_from(["Pod", "DaemonSet", "Node", ""]),
    st.from_regex(r"[a-z]{0,9}", fullmatch=True),
    st.from_regex(r"[a-z0-9-]{1,9}[a-z0-9]", fullmatch=True),
)
def test_the_word_is_found_again(kind: str, namespace: str, name: str) -> None:
    """So the inventory reads the subject back that the id was made of."""
    for subject in notations(kind, namespace, name):
        found = target_of(subject)
        assert subject in notations(found.kind, found.namespace, found.name)


def test_its_namespace_counts() -> None:
    """For filters, shares and statistics: as other results on the same object do."""
    violation = Violation(
        source="Trivy Compliance",
        policy="5.2.2 Few containers are privileged",
        rule="Privileged",
        subject=notation("kube-system/daemonset-node-proxy"),
        discriminator="",
        result="fail",
        severity="HIGH",
        category="",
        message="m",
    )
    assert namespace_of(violation.subject) == "kube-system"
    assert not Filter(exclude_namespaces=("kube-system",)).admits(violation)
    assert not Filter(include_namespaces=("shop",)).admits(violation)
    assert Filter(include_namespaces=("kube-*",)).admits(violation)
