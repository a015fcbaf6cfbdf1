"""Runs docs/fleet.md step by step and unchanged, except what only AWS can do, which
tests/component/iam/test_iam_fleet_page.py covers without it; and the permissions of docs/clusters.md.
"""

import re
from pathlib import Path

from dev.cluster import ControlPlane, kubeconfig
from dev.hub.process import HubProcess
from dev.testbed import ACCOUNT
from tests.integration.chart.shell import ROOT, Shell
from tests.integration.operator.fleet import OPERATOR
from tests.integration.operator.world import ENGINES, World, report, result
from tests.stacks import Stack

ARN = "arn:aws:eks:eu-west-1:444455556666:cluster/shop"
ROLE = "arn:aws:iam::444455556666:role/policyhub"


def test_the_documented_steps(plane: ControlPlane, world: World, hub: HubProcess, tmp_path: Path) -> None:
    """For the first cluster of the page, its commands create the templates, the permissions in the cluster and the
    MonitoredCluster. With only the role and the access entry that the StackSet creates in that account and Region, the
    cluster is then connected and in sync.
    """
    page = (ROOT / "docs/fleet.md").read_text("utf-8").partition("\n## Step by step\n")[2].partition("\n## ")[0]
    clusters, templates, _own, _stackset, rights, monitored, _update = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    shop = plane.cluster("shop", authenticator=hub.authenticator(ARN))
    shop.apply([*ENGINES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    shop.apply([report("web", result("probes"))])
    shell = Shell(world.cluster, tmp_path)
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    config = {**shop.kubeconfig(), "current-context": "shop-eu"}
    config["contexts"] = [{**config["contexts"][0], "name": "shop-eu"}]
    merged = kubeconfig.merge([world.cluster.kubeconfig(), config])
    merged["contexts"].append({**merged["contexts"][1], "name": "prod-us"})  # the name in docs/clusters.md
    kubeconfig.write(merged, tmp_path / "kubeconfig")

    def run(script: str) -> str:
        return shell.run(f"cd {tmp_path}\n{script}")

    run(clusters)
    head = run(templates)
    assert "the accounts 444455556666, 777788889999 in the Regions eu-west-1, us-east-1." in head
    assert "Deploy eu-west-1 first (RegionOrder)" in head
    operator = Stack((tmp_path / "policyhub-operator.yaml").read_text(), account=ACCOUNT, region="eu-west-1")
    assert operator.role_arn in (tmp_path / "policyhub-members.yaml").read_text()
    template = (tmp_path / "policyhub-members.yaml").read_text()
    member = Stack(template, account="444455556666", region="eu-west-1", OperatorRoleArn=OPERATOR)
    (role,) = member.of("AWS::IAM::Role")
    (policy,) = role["Policies"]
    (entry,) = member.of("AWS::EKS::AccessEntry")
    assert (member.role_arn, entry["ClusterName"], entry["PrincipalArn"]) == (ROLE, "shop", ROLE)
    only = tmp_path / "clusters.txt"
    only.write_text(only.read_text().splitlines()[0] + "\n")
    reported = run(rights).splitlines()
    assert "The group policyhub may now read what policyhub needs in this cluster. Nothing runs here." in reported
    assert reported[-1] == "yes"
    outside = (ROOT / "docs/clusters.md").read_text("utf-8").partition("**1. In the other cluster")[2]
    assert run(re.findall(r"```sh\n(.*?)```", outside, re.DOTALL)[0]).splitlines()[-1] == "yes"
    hub.roles({ROLE: "policyhub-prod"})
    hub.policies([{"role": ROLE, "trust": role["AssumeRolePolicyDocument"], "permissions": policy["PolicyDocument"]}])
    where = {"endpoint": shop.url, "authority": kubeconfig_authority(shop.kubeconfig())}
    given = {"principal": entry["PrincipalArn"], "groups": entry["KubernetesGroups"]}
    hub.eks([{"arn": ARN, **where, "entries": [given]}])
    try:
        world.start()
        assert "monitoredcluster.policyhub.dev/shop-eu condition met" in run(monitored)
        world.well("shop-eu")
        assert world.states("probes", cluster=ARN) == {"web": "ACTIVE"}
    finally:
        hub.eks([])
        hub.policies([])
        hub.roles({})


def kubeconfig_authority(config: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    return config["clusters"][0]["cluster"]["certificate-authority-data"]
