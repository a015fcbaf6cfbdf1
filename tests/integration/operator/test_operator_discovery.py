"""ClusterDiscovery with accounts of the local AWS: one cluster has a real API server, and another real cluster is
home.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import testbed
from dev.cluster import ControlPlane, helm
from dev.hub.process import HubProcess
from tests.integration.chart.shell import ROOT, Shell
from tests.integration.operator.fleet import ARN, EXTERNAL_ID, GROUP, OTHER, ROLE, Eks
from tests.integration.operator.world import CLUSTERS, Document, World, report, result

DISCOVERIES = "/apis/policyhub.dev/v1alpha1/clusterdiscoveries"
DENYING, OFF = "777788889999", "eu-south-1"
NAME = f"prod-eu-eu-west-1-{OTHER}"
SETTINGS: dict[str, Any] = {"POLICYHUB_CLUSTER_DISCOVERY": "true", "POLICYHUB_CLUSTER_DISCOVERY_INTERVAL": "0.3"}
TAGS = {"policyhub": "yes"}


class Fleet:
    """The clusters of the accounts: the real one, and others that exist by name only."""

    def __init__(self, world: World, hub: HubProcess, real: Eks) -> None:
        self.world = world
        self._hub = hub
        self._real = {
            "arn": ARN,
            "endpoint": real.cluster.url,
            "authority": real.authority,
            "entries": [{"principal": ROLE, "groups": [GROUP]}],
            "tags": TAGS,
        }
        self.cluster = real.cluster

    def describe_as(self, *others: Document, real: bool = True, **reported: Any) -> None:
        """These clusters exist, and the real one, changed by `reported`."""
        self._hub.eks([*([{**self._real, **reported}] if real else []), *others])

    def discover(self, name: str = "fleet", **spec: Any) -> None:
        """Create the ClusterDiscovery, by the role in the account unless the spec names others."""
        given = {
            "accounts": [account(OTHER, roleArn=ROLE, externalId=EXTERNAL_ID)],
            "regions": [testbed.REGION],
            "tagSelector": {"matchTags": TAGS},
            "template": {"spec": {"archiveDelay": "1s", "rollUp": False}},
            **spec,
        }
        head = {"apiVersion": "policyhub.dev/v1alpha1", "kind": "ClusterDiscovery", "metadata": {"name": name}}
        self.world.cluster.apply([{**head, "spec": given}])

    def status(self, name: str = "fleet") -> Document:
        found: Document = self.world.cluster.request("GET", f"{DISCOVERIES}/{name}").get("status", {})
        return found

    def condition(self, type_: str, name: str = "fleet") -> Document:
        return {"status": "", "reason": "", **testbed.condition({"status": self.status(name)}, type_)}

    def told(self, name: str = "fleet") -> dict[str, str]:
        """Cluster → state and reason."""
        clusters = self.status(name).get("clusters", ())
        return {one["arn"].rpartition("/")[2]: f"{one['state']}/{one['reason']}" for one in clusters}

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        self.world.until(holds, what)

    def looked_again(self) -> None:
        """Wait for two more complete discoveries."""
        mark = self.world.mark()
        self.until("more looks", lambda: len(self.world.calls(mark, "ListClusters")) >= 3)


def account(number: str, **members: str) -> Document:
    return {"accountId": number, **members}


def cluster(name: str, *, owner: str = OTHER, region: str = testbed.REGION, **reported: Any) -> Document:
    return {"arn": f"arn:aws:eks:{region}:{owner}:cluster/{name}", "endpoint": "https://127.0.0.1:1", **reported}


@pytest.fixture(scope="module")
def real(plane: ControlPlane, hub: HubProcess, home: World) -> Eks:
    made = Eks(plane.cluster("found", authenticator=hub.authenticator(ARN)), hub)
    made.cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    made.cluster.apply([report("web", result("probes"))])
    return made


@pytest.fixture(scope="module")
def discovering(real: Eks, home: World, hub: HubProcess) -> Iterator[Fleet]:
    """One operator that discovers, with the chart's permissions for that."""
    home.clear()
    hub_ = {"securityHub": {"accountId": testbed.ACCOUNT, "region": testbed.REGION}}
    values = {"clusterDiscovery": {"enabled": True}, "clusterName": "alpha", **hub_}
    chart = helm.render(testbed.CHART, testbed.RELEASE, testbed.NAMESPACE, values)
    rights = [one for one in chart if one["metadata"]["name"].endswith("-discovery")]
    assert {one["kind"] for one in rights} == {"ClusterRole", "ClusterRoleBinding"}
    home.apply(*rights)
    hub.roles({ROLE: EXTERNAL_ID})
    home.start(**SETTINGS)
    yield Fleet(home, hub, real)
    home.clear()
    hub.eks([])
    hub.roles({})


@pytest.fixture
def fleet(discovering: Fleet, hub: HubProcess) -> Iterator[Fleet]:
    """No cluster is discovered yet."""
    discovering.describe_as()
    yield discovering
    hub.clear_faults()
    for path in (DISCOVERIES, CLUSTERS):
        for one in discovering.world.cluster.request("GET", path)["items"]:
            discovering.world.cluster.request("DELETE", f"{path}/{one['metadata']['name']}")


@pytest.fixture
def world(discovering: Fleet) -> World:
    return discovering.world


def test_from_a_tag_to_findings_and_the_deletion(fleet: Fleet, world: World) -> None:
    """A cluster with the tag gets a MonitoredCluster that signs in with the account's role, and its findings are in
    Security Hub. When EKS no longer knows the cluster, the status says so; the MonitoredCluster and the findings stay.
    """
    others = [cluster("sandbox", tags={"policyhub": "no"}), cluster("edge", connected=True)]
    fleet.describe_as(*others, cluster("later", status="CREATING", tags=TAGS))
    fleet.discover()
    expected = {"prod-eu": "Made/Monitored", "sandbox": "Skipped/TagsDiffer", "later": "Skipped/ClusterCreating"}
    fleet.until("three clusters in the status", lambda: fleet.told() == expected)
    world.well(NAME)
    assert world.states("probes", cluster=ARN) == {"web": "ACTIVE"}
    made = world.monitored(NAME)
    assert made["metadata"]["labels"] == {"policyhub.dev/discovered-by": "fleet"}
    assert made["metadata"].get("ownerReferences") is None
    assert made["spec"]["connection"] == {"eks": {"roleArn": ROLE, "externalId": EXTERNAL_ID}}
    fleet.until("discovery to be ready", lambda: fleet.condition("Ready")["status"] == "True")
    names, (row,) = world.cluster.table(DISCOVERIES)
    assert dict(zip(names, row, strict=True)) | {"Age": ""} == {
        "Name": "fleet",
        "Ready": "True",
        "Reason": "AllWell",
        "Found": 3,
        "Made": 1,
        "Skipped": 2,
        "Gone": 0,
        "Age": "",
    }
    assert world.operator.metric("policyhub_discovery_clusters", discovery="fleet", state="made") == 1

    world.cluster.request("PATCH", f"{CLUSTERS}/{NAME}", {"spec": {"mode": "NoArchive"}})
    fleet.discover(template={"spec": {"mode": "DryRun"}})
    fleet.looked_again()
    assert world.monitored(NAME)["spec"]["mode"] == "NoArchive"  # discovery does not change what it has created

    mark = world.mark()
    fleet.describe_as(*others, real=False)
    fleet.until("the cluster to be gone", lambda: fleet.told().get("prod-eu") == "Gone/ClusterGone")
    assert f"kubectl delete monitoredcluster {NAME}; then" in fleet.status()["clusters"][0]["message"]
    assert fleet.status()["made"] == fleet.status()["gone"] == 1
    assert world.monitored(NAME)["metadata"]["uid"] == made["metadata"]["uid"]
    assert world.states("probes", cluster=ARN) == {"web": "ACTIVE"}
    assert world.journal(mark) == []

    world.cluster.request("DELETE", f"{DISCOVERIES}/fleet")
    fleet.until("it to be forgotten", lambda: world.operator.metric("policyhub_discovery_clusters") == 0)
    assert world.monitored(NAME)["metadata"]["uid"] == made["metadata"]["uid"]


def test_a_failure_in_one_account_stops_no_other(fleet: Fleet, world: World, hub: HubProcess) -> None:
    """An account that denies the role and a disabled Region are reported once with what to do, while clusters of the
    others are monitored; silence there ends nothing.
    """
    hub.fault("region_off", operation="ListClusters", region=OFF)
    denying = f"arn:aws:iam::{DENYING}:role/policyhub"
    here = account(OTHER, roleArn=ROLE, externalId=EXTERNAL_ID)
    own = account(testbed.ACCOUNT)
    fleet.describe_as(cluster("own", owner=testbed.ACCOUNT, tags=TAGS, authority="LS0t"))
    fleet.discover(accounts=[here, account(DENYING, roleArn=denying), own], regions=[testbed.REGION, OFF])
    fleet.until("all six in the status", lambda: "4 of 6" in fleet.condition("Listed").get("message", ""))
    fleet.until("all to be made", lambda: fleet.condition("ClustersMade")["status"] == "True")
    assert fleet.told() == {"prod-eu": "Made/Monitored", "own": "Made/Monitored"}
    places = {one["name"]: one["reason"] for one in fleet.status()["places"]}
    assert places == {
        f"{OTHER}/{testbed.REGION}": "Listed",
        f"{OTHER}/{OFF}": "RegionOff",
        f"{DENYING}/{testbed.REGION}": "AccessDenied",
        f"{DENYING}/{OFF}": "AccessDenied",
        f"{testbed.ACCOUNT}/{testbed.REGION}": "Listed",
        f"{testbed.ACCOUNT}/{OFF}": "RegionOff",
    }
    message = fleet.condition("Listed")["message"]
    assert f"needs sts:AssumeRole (with Pod Identity also sts:TagSession) on {denying}" in message
    assert f"aws account enable-region --region-name {OFF}" in message
    assert "connection" not in message

    hub.fault("access_denied", operation="ListClusters", account=OTHER)
    denied = f"{OTHER}/{testbed.REGION}: ListClusters"
    fleet.until("the listing to be denied", lambda: denied in fleet.condition("Listed")["message"])
    fleet.looked_again()  # an Event follows its status
    told = events(world)
    assert set(told) <= {"AccessDenied", "RegionOff", "AllWell"}
    fleet.describe_as(real=False)
    fleet.looked_again()
    assert fleet.told()["prod-eu"] == "Made/Monitored"  # a failed discovery is no evidence
    assert events(world) == told  # a discovery with the same result reports nothing new


def test_the_documented_commands(fleet: Fleet, hub: HubProcess, tmp_path: Path) -> None:
    """docs/discovery.md unchanged: its ClusterDiscovery, its commands and their output."""
    page = (ROOT / "docs/discovery.md").read_text("utf-8")
    (script,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    role = f"arn:aws:iam::{OTHER}:role/policyhub"
    hub.roles({ROLE: EXTERNAL_ID, role: "policyhub-prod"})
    fleet.describe_as(cluster("sandbox"))
    reported = Shell(fleet.world.cluster, tmp_path).run(script)
    hub.roles({ROLE: EXTERNAL_ID})
    assert "clusterdiscovery.policyhub.dev/fleet condition met" in reported
    age = r"\d+m?s?$"
    for line in printed.splitlines():
        assert re.sub(age, "", " ".join(line.split())) in " ".join(reported.split())
    assert NAME in reported


def events(world: World) -> list[str]:
    """Reasons of the Events about the existing ClusterDiscovery."""
    uid = world.cluster.request("GET", f"{DISCOVERIES}/fleet")["metadata"]["uid"]
    found = world.cluster.request("GET", "/api/v1/namespaces/default/events")["items"]
    return sorted(one["reason"] for one in found if one["involvedObject"].get("uid") == uid)


def test_name_clashes_and_invalid_templates(fleet: Fleet, world: World) -> None:
    """Of two clusters with one name the first is monitored, and the conflict names both; a template that the API server
    rejects is reported with its message; a cluster that is monitored manually is left unchanged.
    """
    fleet.describe_as(cluster("Prod-EU", tags=TAGS, authority="LS0t"))
    fleet.discover(namePattern="{name}")
    fleet.until("the clash", lambda: fleet.told() == {"Prod-EU": "Made/Monitored", "prod-eu": "Skipped/NameClash"})
    clash = fleet.condition("ClustersMade")
    assert (clash["status"], clash["reason"]) == ("False", "NameClash")
    assert "cluster/Prod-EU" in clash["message"]
    assert "spec.namePattern" in clash["message"]

    fleet.discover("other", namePattern="{name}-2", template={"metadata": {"labels": {"no key!": "a"}}})
    expected = {"Prod-EU": "Skipped/AlreadyMonitored", "prod-eu": "Skipped/TemplateRefused"}
    fleet.until("the refusal", lambda: fleet.told("other") == expected)
    assert "no key!" in fleet.condition("ClustersMade", "other")["message"]

    world.monitor("by-hand", clusterArn=ARN, connection={"eks": {"roleArn": ROLE, "externalId": EXTERNAL_ID}})
    expected["prod-eu"] = "Skipped/AlreadyMonitored"
    fleet.until("the one by hand to be seen", lambda: fleet.told("other") == expected)
    assert fleet.condition("Ready", "other")["status"] == "True"
