"""ClusterDiscovery, with accounts of the local AWS, a real API server as one of their clusters, and another as home."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import stand
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
    """What the accounts hold: the real cluster, and more that are names alone."""

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

    def be(self, *others: Document, real: bool = True, **said: Any) -> None:
        """These clusters, and the real one with `said` of it."""
        self._hub.eks([*([{**self._real, **said}] if real else []), *others])

    def discover(self, name: str = "fleet", **spec: Any) -> None:
        """By the role in its account, unless the spec names others."""
        given = {
            "accounts": [account(OTHER, roleArn=ROLE, externalId=EXTERNAL_ID)],
            "regions": [stand.REGION],
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
        return {"status": "", "reason": "", **stand.condition({"status": self.status(name)}, type_)}

    def told(self, name: str = "fleet") -> dict[str, str]:
        """Cluster → state and reason."""
        clusters = self.status(name).get("clusters", ())
        return {one["arn"].rpartition("/")[2]: f"{one['state']}/{one['reason']}" for one in clusters}

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        self.world.until(holds, what)

    def looked_again(self) -> None:
        """Wait for two more looks that have ended."""
        mark = self.world.mark()
        self.until("more looks", lambda: len(self.world.calls(mark, "ListClusters")) >= 3)


def account(number: str, **members: str) -> Document:
    return {"accountId": number, **members}


def cluster(name: str, *, owner: str = OTHER, region: str = stand.REGION, **said: Any) -> Document:
    return {"arn": f"arn:aws:eks:{region}:{owner}:cluster/{name}", "endpoint": "https://127.0.0.1:1", **said}


@pytest.fixture(scope="module")
def real(plane: ControlPlane, hub: HubProcess, home: World) -> Eks:
    made = Eks(plane.cluster("found", authenticator=hub.authenticator(ARN)), hub)
    made.cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    made.cluster.apply([report("web", result("probes"))])
    return made


@pytest.fixture(scope="module")
def discovering(real: Eks, home: World, hub: HubProcess) -> Iterator[Fleet]:
    """One operator that discovers, with the chart's rights for that."""
    home.clear()
    hub_ = {"securityHub": {"accountId": stand.ACCOUNT, "region": stand.REGION}}
    values = {"clusterDiscovery": {"enabled": True}, "clusterName": "alpha", **hub_}
    chart = helm.render(stand.CHART, stand.RELEASE, stand.NAMESPACE, values)
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
    """Nothing discovered yet."""
    discovering.be()
    yield discovering
    hub.clear_faults()
    for path in (DISCOVERIES, CLUSTERS):
        for one in discovering.world.cluster.request("GET", path)["items"]:
            discovering.world.cluster.request("DELETE", f"{path}/{one['metadata']['name']}")


@pytest.fixture
def world(discovering: Fleet) -> World:
    return discovering.world


def test_from_a_tag_to_findings_and_after_the_end(fleet: Fleet, world: World) -> None:
    """A cluster with the tag gets a MonitoredCluster that signs in by the account's role, and its findings are in
    Security Hub. Once EKS does not know it any more the status says so; the MonitoredCluster and the findings stay.
    """
    others = [cluster("sandbox", tags={"policyhub": "no"}), cluster("edge", connected=True)]
    fleet.be(*others, cluster("later", status="CREATING", tags=TAGS))
    fleet.discover()
    expected = {"prod-eu": "Made/Monitored", "sandbox": "Skipped/TagsDiffer", "later": "Skipped/ClusterCreating"}
    fleet.until("three clusters to be told", lambda: fleet.told() == expected)
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
    assert world.monitored(NAME)["spec"]["mode"] == "NoArchive"  # discovery changes nothing that it made

    mark = world.mark()
    fleet.be(*others, real=False)
    fleet.until("the cluster to be gone", lambda: fleet.told().get("prod-eu") == "Gone/ClusterGone")
    assert f"kubectl delete monitoredcluster {NAME}; then" in fleet.status()["clusters"][0]["message"]
    assert fleet.status()["made"] == fleet.status()["gone"] == 1
    assert world.monitored(NAME)["metadata"]["uid"] == made["metadata"]["uid"]
    assert world.states("probes", cluster=ARN) == {"web": "ACTIVE"}
    assert world.journal(mark) == []

    world.cluster.request("DELETE", f"{DISCOVERIES}/fleet")
    fleet.until("it to be forgotten", lambda: world.operator.metric("policyhub_discovery_clusters") == 0)
    assert world.monitored(NAME)["metadata"]["uid"] == made["metadata"]["uid"]


def test_what_fails_in_one_place_stops_no_other(fleet: Fleet, world: World, hub: HubProcess) -> None:
    """An account that denies the role and a Region that is off are told with what to do, once, while the clusters of
    the others are monitored; and silence there ends nothing.
    """
    hub.fault("region_off", operation="ListClusters", region=OFF)
    denying = f"arn:aws:iam::{DENYING}:role/policyhub"
    here = account(OTHER, roleArn=ROLE, externalId=EXTERNAL_ID)
    own = account(stand.ACCOUNT)
    fleet.be(cluster("own", owner=stand.ACCOUNT, tags=TAGS, authority="LS0t"))
    fleet.discover(accounts=[here, account(DENYING, roleArn=denying), own], regions=[stand.REGION, OFF])
    fleet.until("all six to be told", lambda: "4 of 6" in fleet.condition("Listed").get("message", ""))
    fleet.until("all to be made", lambda: fleet.condition("ClustersMade")["status"] == "True")
    assert fleet.told() == {"prod-eu": "Made/Monitored", "own": "Made/Monitored"}
    places = {one["name"]: one["reason"] for one in fleet.status()["places"]}
    assert places == {
        f"{OTHER}/{stand.REGION}": "Listed",
        f"{OTHER}/{OFF}": "RegionOff",
        f"{DENYING}/{stand.REGION}": "AccessDenied",
        f"{DENYING}/{OFF}": "AccessDenied",
        f"{stand.ACCOUNT}/{stand.REGION}": "Listed",
        f"{stand.ACCOUNT}/{OFF}": "RegionOff",
    }
    message = fleet.condition("Listed")["message"]
    assert f"needs sts:AssumeRole (with Pod Identity also sts:TagSession) on {denying}" in message
    assert f"aws account enable-region --region-name {OFF}" in message
    assert "connection" not in message

    hub.fault("access_denied", operation="ListClusters", account=OTHER)
    denied = f"{OTHER}/{stand.REGION}: ListClusters"
    fleet.until("the listing to be denied", lambda: denied in fleet.condition("Listed")["message"])
    fleet.looked_again()  # an Event follows its status
    told = events(world)
    assert set(told) <= {"AccessDenied", "RegionOff", "AllWell"}
    fleet.be(real=False)
    fleet.looked_again()
    assert fleet.told()["prod-eu"] == "Made/Monitored"  # not asked is no evidence
    assert events(world) == told  # a look that finds the same tells nothing new


def test_the_page(fleet: Fleet, hub: HubProcess, tmp_path: Path) -> None:
    """docs/discovery.md as it stands: its ClusterDiscovery, its commands and what they print."""
    page = (ROOT / "docs/discovery.md").read_text("utf-8")
    (script,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    role = f"arn:aws:iam::{OTHER}:role/policyhub"
    hub.roles({ROLE: EXTERNAL_ID, role: "policyhub-prod"})
    fleet.be(cluster("sandbox"))
    said = Shell(fleet.world.cluster, tmp_path).run(script)
    hub.roles({ROLE: EXTERNAL_ID})
    assert "clusterdiscovery.policyhub.dev/fleet condition met" in said
    age = r"\d+m?s?$"
    for line in printed.splitlines():
        assert re.sub(age, "", " ".join(line.split())) in " ".join(said.split())
    assert NAME in said


def events(world: World) -> list[str]:
    """Reasons of those about the ClusterDiscovery that is there."""
    uid = world.cluster.request("GET", f"{DISCOVERIES}/fleet")["metadata"]["uid"]
    found = world.cluster.request("GET", "/api/v1/namespaces/default/events")["items"]
    return sorted(one["reason"] for one in found if one["involvedObject"].get("uid") == uid)


def test_names_and_templates_that_cannot_be(fleet: Fleet, world: World) -> None:
    """Of two clusters with one name the first is monitored, and the clash names both; a template that the API server
    refuses is told with its words; a cluster that is monitored by hand is left alone.
    """
    fleet.be(cluster("Prod-EU", tags=TAGS, authority="LS0t"))
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
