"""The commands of docs/install.md, as they stand there, by a shell: all but those that need AWS or nodes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import crds, stand
from dev.cluster import Cluster, ControlPlane, helm
from dev.hub.process import HubProcess
from dev.stand import Installed, Operator
from tests.integration.chart.shell import Shell

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs/install.md").read_text("utf-8")
LEAVING = (ROOT / "docs/retire.md").read_text("utf-8")
BACK = (ROOT / "docs/upgrade.md").read_text("utf-8").partition("\n## Back\n")[2].partition("\n## ")[0]

Document = dict[str, Any]


def commands(section: str) -> list[str]:
    """The shell blocks of a section, in order. One that begins with an option is the end of the one before."""
    text = DOCS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return blocks(text)


def blocks(text: str) -> list[str]:
    """Those of shell commands."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def server(plane: ControlPlane) -> Iterator[Cluster]:
    cluster = plane.cluster("docs")
    cluster.apply(crds.policy_reports())
    yield cluster
    cluster.stop()


def test_as_a_new_user_would(server: Cluster, tmp_path: Path) -> None:
    """Install, label the namespace, wait, look, hand over, archive by a deletion, upgrade (which creates the
    MonitoredCluster again), remove, in the words of the pages: each command works.
    """
    shell = Shell(server, tmp_path)
    install, _irsa, restricted = commands("Install")
    assert "kubectl wait --for=condition=Ready" in shell.run(install)
    shell.run(restricted)
    manifest = helm.run(
        "get", "manifest", "policyhub", "--namespace=policyhub", kubeconfig=tmp_path / "kubeconfig", home=tmp_path
    ).stdout
    documents = [document for document in yaml.safe_load_all(manifest) if document]
    installed = Installed(cluster=server, documents=documents, folder=tmp_path)
    with HubProcess.start() as hub, Operator(installed, hub).start():
        told = shell.run(commands("Verify")[0])
        assert "monitoredcluster.policyhub.dev/prod-eu condition met" in told
        assert re.search(r"^NAME +READY .*\nprod-eu +True +AllWell", told, re.MULTILINE)
        dry_run, sync = commands("Verify")[3:]
        told = shell.run(dry_run)
        assert "prod-eu is in mode DryRun" in told
        assert "monitoredcluster.policyhub.dev/prod-eu condition met" in told
        assert re.search(r"^NAME +READY .*\nprod-eu +True +DryRun +False ", told, re.MULTILINE)
        assert told.endswith('{"archive":0,"create":0,"reopen":0,"update":0}')
        assert "monitoredcluster.policyhub.dev/prod-eu condition met" in shell.run(sync)
        archive, _give_up, hand_over, *_ = blocks(LEAVING.partition("\n## deletionPolicy")[2])
        _back, retain = blocks(BACK)
        set_archive = archive.partition("kubectl delete")[0]
        for leave, done in ((retain, "prod-eu patched"), (hand_over, "deleted")):
            assert "condition met" in shell.run(set_archive)
            assert done in shell.run(leave)
            assert not shell.run("kubectl get monitoredclusters -o jsonpath='{.items[*].metadata.finalizers}'")
        assert not shell.run("kubectl get monitoredclusters -o name")
        shell.run(commands("Upgrade")[0])
        assert "condition met" in shell.run(archive)  # the deletion waits until the operator has let it go
    upgraded = shell.run(commands("Upgrade")[0])
    assert "monitoredclusters.policyhub.dev serverside-applied" in upgraded
    assert "has been upgraded" in upgraded
    _asks, uninstall, crd = commands("Uninstall")  # the first one runs in the Pod
    assert 'release "policyhub" uninstalled' in shell.run(uninstall)
    assert "deleted" in shell.run(crd)
    stand.until(lambda: not served(server), seconds=60, what="the API to go with its CRD")


def served(server: Cluster) -> bool:
    groups = server.request("GET", "/apis")["groups"]
    return "policyhub.dev" in {group["name"] for group in groups}
