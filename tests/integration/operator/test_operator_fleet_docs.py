"""docs/fleet.md, step by step, as it stands there: all but what only AWS can do."""

import re
from pathlib import Path

from dev.cluster import ControlPlane, kubeconfig
from dev.hub.process import HubProcess
from tests.integration.chart.shell import ROOT, Shell
from tests.integration.operator.fleet import GROUP
from tests.integration.operator.world import ENGINES, World, report, result

ARN = "arn:aws:eks:eu-west-1:444455556666:cluster/shop"
ROLE = "arn:aws:iam::444455556666:role/policyhub"


def test_step_by_step(plane: ControlPlane, world: World, hub: HubProcess, tmp_path: Path) -> None:
    """With the first of the page's clusters there, its commands make the roles' templates, the rights in the cluster
    and the MonitoredCluster, which is then connected and in sync.
    """
    page = (ROOT / "docs/fleet.md").read_text("utf-8").partition("\n## Step by step\n")[2].partition("\n## ")[0]
    clusters, roles, _entries, rights, monitored = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    shop = plane.cluster("shop", authenticator=hub.authenticator(ARN))
    shop.apply([*ENGINES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    shop.apply([report("web", result("probes"))])
    shell = Shell(world.cluster, tmp_path)
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    config = {**shop.kubeconfig(), "current-context": "shop-eu"}
    config["contexts"] = [{**config["contexts"][0], "name": "shop-eu"}]
    kubeconfig.write(kubeconfig.merge([world.cluster.kubeconfig(), config]), tmp_path / "kubeconfig")

    def run(script: str) -> str:
        return shell.run(f"cd {tmp_path}\n{script}")

    run(clusters)
    run(roles)
    template = (tmp_path / "member-444455556666.yaml").read_text()
    assert "eks:DescribeCluster" in template
    assert template.count(":cluster/shop") == 2
    assert "cluster/bank" not in template
    only = tmp_path / "clusters.txt"
    only.write_text(only.read_text().splitlines()[0] + "\n")
    said = run(rights).splitlines()
    assert said[-1] == "yes"
    assert [line for line in said if line.startswith(("role", "clusterrole"))] == [
        *("clusterrole.rbac.authorization.k8s.io/policyhub created",),
        *("clusterrolebinding.rbac.authorization.k8s.io/policyhub-eks created",),
    ]
    hub.roles({ROLE: "policyhub-prod"})
    where = {"endpoint": shop.url, "authority": kubeconfig_authority(shop.kubeconfig())}
    hub.eks([{"arn": ARN, **where, "entries": [{"principal": ROLE, "groups": [GROUP]}]}])
    try:
        world.start()
        assert "monitoredcluster.policyhub.dev/shop-eu condition met" in run(monitored)
        world.well("shop-eu")
        assert world.states("probes", cluster=ARN) == {"web": "ACTIVE"}
    finally:
        hub.eks([])
        hub.roles({})


def kubeconfig_authority(config: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    return config["clusters"][0]["cluster"]["certificate-authority-data"]
