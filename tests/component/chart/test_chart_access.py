"""The chart policyhub-access, rendered by the real helm, grants one group the operator's permissions, and nobody
else.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.chart.files import ACCESS, CHART
from dev.cluster.helm import HelmError, lint, render

ROOT = Path(__file__).parents[3]
HOME = {"clusterName": "a", "securityHub": {"accountId": "111122223333", "region": "eu-west-1"}}
SWITCHES = ("namespaces", "rollUp", "enrichment", "existence")

Document = dict[str, Any]


def objects(values: Document, *, release: str = "policyhub-access") -> list[Document]:
    return render(ROOT / ACCESS, release, "policyhub", values)


def rules(documents: list[Document]) -> list[Document]:
    (role,) = (document for document in documents if document["kind"] == "ClusterRole")
    found: list[Document] = role["rules"]
    return found


@pytest.mark.parametrize("off", [(), *((name,) for name in SWITCHES), SWITCHES], ids=",".join)
def test_the_rules_equal_the_main_charts(off: tuple[str, ...]) -> None:
    """With the same values both charts have the same rules, except for the operator's own objects in its home
    cluster.
    """
    rbac = {name: name not in off for name in SWITCHES}
    home = rules(render(ROOT / CHART, "policyhub", "policyhub", {**HOME, "rbac": rbac}))
    assert rules(objects({"rbac": rbac})) == [rule for rule in home if rule["apiGroups"] != ["policyhub.dev"]]


def test_nothing_else_is_installed() -> None:
    """Only a read-only role and its binding to the group: no Deployment, no service account, no CRD."""
    role, binding = objects({})
    assert (role["kind"], binding["kind"]) == ("ClusterRole", "ClusterRoleBinding")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert not {"secrets", "configmaps"} & {name for rule in role["rules"] for name in rule["resources"]}
    assert binding["roleRef"]["name"] == role["metadata"]["name"] == "policyhub-access"
    group = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "policyhub"}
    assert binding["subjects"] == [group]
    assert lint(ROOT / ACCESS, values={})


def test_the_defaults_equal_the_main_charts() -> None:
    """Each switch is on in both charts, or off in both."""
    here, home = (yaml.safe_load((ROOT / chart / "values.yaml").read_text("utf-8")) for chart in (ACCESS, CHART))
    assert set(here["rbac"]) == {*SWITCHES}
    assert here["rbac"] == {name: home["rbac"][name] for name in SWITCHES}


@pytest.mark.parametrize("group", ["security-readers", "corp:policyhub", "systems", "1234", "iam.example/a@b"])
def test_a_custom_group(group: str) -> None:
    """It stays text, whatever type YAML would give it; another release has its own names."""
    role, binding = objects({"group": group}, release="second")
    assert binding["subjects"][0]["name"] == group
    assert role["metadata"]["name"] == "second-policyhub-access"


@pytest.mark.parametrize(
    "group", ["system:authenticated", "system:masters", "eks:a", "aws:a", "amazon:a", "iam:a", "System:authenticated"]
)
def test_groups_with_other_members_are_refused(group: str) -> None:
    """Groups of Kubernetes and AWS have members other than the operator: the message says so, and what to set."""
    with pytest.raises(HelmError) as refused:
        objects({"group": group})
    assert f"The group {group} cannot be used" in str(refused.value)
    assert "their other members would get these permissions too. Nothing was installed." in str(refused.value)
    assert "--set group=policyhub" in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"group": ""}, "at '/group': value must be 'the name of a Kubernetes group, such as policyhub'"),
        ({"group": "a b"}, "at '/group': value must be 'the name of a Kubernetes group, such as policyhub'"),
        (
            {"group": None},
            "No group is set, so nobody would get these permissions. Set the group of the operator's access entry",
        ),
        ({"groups": ["policyhub"]}, "additional properties 'groups' not allowed"),
        ({"rbac": {"finalizers": True}}, "additional properties 'finalizers' not allowed"),
        ({"rbac": True}, "a group: set rbac.namespaces, rbac.rollUp, rbac.enrichment or rbac.existence"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: Document, message: str) -> None:
    """Each message says what is expected."""
    with pytest.raises(HelmError) as refused:
        objects(values)
    assert message in str(refused.value)
