"""A cluster admin's whole path with helm, kubectl and policyhub, from installation to removal, and what remains."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import crds, testbed
from dev.cluster import Cluster, ControlPlane, helm
from dev.hub.process import HubProcess
from dev.testbed import NAMESPACE, Installed, Operator
from tests.integration.chart.shell import Shell
from tests.integration.operator.world import SETTINGS, report, result

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
PREFIX = f"policyhub/{ARN}/"
REPORTS = [report(name, result("require-labels"), result("no-latest")) for name in ("web", "api", "jobs")]
FINDINGS = 6

Document = dict[str, Any]


@pytest.fixture(scope="module")
def server(plane: ControlPlane) -> Iterator[Cluster]:
    cluster = plane.cluster("path")
    cluster.apply([*crds.policy_reports(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    yield cluster
    cluster.stop()


@pytest.fixture
def hub() -> Iterator[HubProcess]:
    with HubProcess.start() as hub:
        yield hub


class Admin:
    """A user's shell, and the Pod, which this cluster without nodes cannot run."""

    def __init__(self, server: Cluster, hub: HubProcess, folder: Path) -> None:
        self._server, self._hub, self._folder = server, hub, folder
        self._shell = Shell(server, folder, **hub.env())

    def runs(self, script: str, *, code: int = 0) -> str:
        """The output of the command."""
        return self._shell.run(script, code=code)

    def pod(self) -> Operator:
        """Run what the release's Deployment would start."""
        manifest = helm.run(
            "get", "manifest", "policyhub", f"--namespace={NAMESPACE}",
            kubeconfig=self._folder / "kubeconfig", home=self._folder,
        ).stdout  # fmt: skip
        documents = [document for document in yaml.safe_load_all(manifest) if document]
        installed = Installed(cluster=self._server, documents=documents, folder=self._folder)
        return Operator(installed, self._hub, settings=SETTINGS).start()

    def states(self) -> list[str]:
        return [finding["RecordState"] for finding in self._hub.findings(prefix=PREFIX)]

    def imported(self) -> int:
        return len([entry for entry in self._hub.journal() if entry["kind"] == "import"])

    def sees(self, states: list[str], operator: Operator) -> None:
        testbed.until(lambda: self.states() == states, seconds=150, what=f"findings to be {states}", operator=operator)


INSTALL = f"""
helm install policyhub charts/policyhub --namespace policyhub --create-namespace \\
  --set clusterArn={ARN} --set image.repository=$REGISTRY/policyhub --set monitoredCluster.spec.mode=DryRun
"""
WAIT = "kubectl wait --for=condition=Ready --timeout=2m monitoredcluster/prod-eu\nkubectl get monitoredclusters"
LEFT = (
    "kubectl get all,configmaps,roles,rolebindings,leases -n policyhub -o name; kubectl get monitoredclusters -o name"
)
UPGRADE = "helm upgrade policyhub charts/policyhub --namespace policyhub --reset-then-reuse-values"


def test_from_installation_to_removal(server: Cluster, hub: HubProcess, tmp_path: Path) -> None:
    """Install with the ARN only, dry run, sending, upgrade, rollback: no finding is created twice. Delete and retire: a
    person archives all findings. Uninstall: only the CRDs remain.
    """
    admin = Admin(server, hub, tmp_path)
    server.apply(REPORTS)
    assert "DryRun" in admin.runs(INSTALL)
    with admin.pod() as operator:
        assert re.search(r"^prod-eu +True +DryRun .*\b6\b", admin.runs(WAIT), re.MULTILINE), admin.runs(WAIT)
        assert not admin.states()
        admin.runs(f"{UPGRADE} --set monitoredCluster.spec.mode=Sync")
        admin.sees(["ACTIVE"] * FINDINGS, operator)
        assert re.search(r"^prod-eu +True +AllWell", admin.runs(WAIT), re.MULTILINE)
    sent = admin.imported()
    assert sent == FINDINGS

    admin.runs(f"{UPGRADE} --set image.tag=next")
    with admin.pod():
        admin.runs(WAIT)
    admin.runs("helm rollback policyhub 2 --namespace policyhub")
    with admin.pod() as operator:
        admin.runs(WAIT)
        assert admin.imported() == sent
        output = admin.runs("policyhub retire prod-eu --yes", code=2)
        assert "MonitoredCluster prod-eu still sends these findings" in output
        delete, retire = re.findall(r"^  ((?:kubectl delete|policyhub retire) .*)$", output, re.MULTILINE)
        assert admin.states() == ["ACTIVE"] * FINDINGS
        admin.runs(delete)

    numbers = admin.runs(retire.removesuffix(" --yes"))
    assert re.search(rf"^TOTAL +.*\b{FINDINGS}$", numbers, re.MULTILINE)
    assert admin.states() == ["ACTIVE"] * FINDINGS
    assert f"{FINDINGS} findings archived" in admin.runs(retire)
    assert admin.states() == ["ARCHIVED"] * FINDINGS
    admin.runs("helm uninstall policyhub --namespace policyhub")
    left = admin.runs(f"{LEFT}\nkubectl get crd,clusterroles,clusterrolebindings -o name | grep policyhub")
    assert [line for line in left.splitlines() if line != "configmap/kube-root-ca.crt"] == [
        "customresourcedefinition.apiextensions.k8s.io/clusterdiscoveries.policyhub.dev",
        "customresourcedefinition.apiextensions.k8s.io/monitoredclusters.policyhub.dev",
    ]
