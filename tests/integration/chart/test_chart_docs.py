"""Runs the commands of docs/install.md unchanged in a shell, except those that need AWS or nodes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import crds, testbed
from dev.cluster import Cluster, ControlPlane, helm
from dev.hub.process import HubProcess
from dev.testbed import Installed, Operator
from tests.integration.chart.shell import Shell

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs/install.md").read_text("utf-8")
LEAVING = (ROOT / "docs/retire.md").read_text("utf-8")
BACK = (ROOT / "docs/upgrade.md").read_text("utf-8").partition("\n## Back\n")[2].partition("\n## ")[0]

Document = dict[str, Any]


def commands(section: str) -> list[str]:
    """The shell blocks of a section, in order. A block that begins with an option continues the previous one."""
    text = DOCS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return blocks(text)


def blocks(text: str) -> list[str]:
    """The blocks with shell commands."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def server(plane: ControlPlane) -> Iterator[Cluster]:
    cluster = plane.cluster("docs")
    cluster.apply(crds.policy_reports())
    yield cluster
    cluster.stop()


def test_every_command_of_the_page_works(server: Cluster, tmp_path: Path) -> None:
    """In the page's order: install, label the namespace, wait, check, hand over, archive by a deletion, upgrade (which
    creates the MonitoredCluster again), remove.
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
        output = shell.run(commands("Verify")[0])
        assert "monitoredcluster.policyhub.dev/prod-eu condition met" in output
        assert re.search(r"^NAME +READY .*\nprod-eu +True +AllWell", output, re.MULTILINE)
        dry_run, sync = commands("Verify")[3:]
        output = shell.run(dry_run)
        assert "prod-eu is in mode DryRun" in output
        assert "monitoredcluster.policyhub.dev/prod-eu condition met" in output
        assert re.search(r"^NAME +READY .*\nprod-eu +True +DryRun +False ", output, re.MULTILINE)
        assert output.endswith('{"archive":0,"create":0,"reopen":0,"update":0}')
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
        assert "condition met" in shell.run(archive)  # the deletion waits until the operator removes its finalizer
    upgraded = shell.run(commands("Upgrade")[0])
    assert "monitoredclusters.policyhub.dev serverside-applied" in upgraded
    assert "has been upgraded" in upgraded
    _asks, uninstall, crd = commands("Uninstall")  # the first command runs in the Pod
    assert 'release "policyhub" uninstalled' in shell.run(uninstall)
    assert "deleted" in shell.run(crd)
    testbed.until(lambda: not served(server), seconds=60, what="the API to go with its CRD")


def served(server: Cluster) -> bool:
    groups = server.request("GET", "/apis")["groups"]
    return "policyhub.dev" in {group["name"] for group in groups}
