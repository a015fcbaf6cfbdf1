"""Runs the commands of docs/migration.md and docs/identity.md unchanged against the local hub, with findings of other
tools and of a former identity.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.hub.process import HubProcess, access_key

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT, REGION = "111122223333", "eu-west-1"
ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod-eu"
NOW = "2026-11-20T08:00:00Z"
TYPES = "Software and Configuration Checks/Kubernetes Policies"
NOTES = {"web": "Accepted until June, Ana", "api": "Accepted until June, Ana", "worker": "A vendor's image, Ben"}

Document = dict[str, Any]

if not (shutil.which("aws") and shutil.which("jq")):
    pytest.skip("the page's commands need the AWS CLI and jq", allow_module_level=True)


def blocks(title: str, *, page: str = "migration") -> list[str]:
    """The shell blocks of a section."""
    text = (ROOT / f"docs/{page}.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return re.findall(r"^```sh\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


def of_policy_reporter(name: str, rule: str) -> Document:
    """A finding as policy-reporter writes it."""
    uid = f"uid-of-{name}"
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"{name}-{rule}",
        "ProductArn": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default",
        "ProductName": "Policy Reporter",
        "CompanyName": "Kyverno",
        "GeneratorId": "kyverno/require-limits",
        "AwsAccountId": ACCOUNT,
        "Types": [f"{TYPES}/kyverno"],
        "CreatedAt": NOW,
        "UpdatedAt": NOW,
        "Severity": {"Label": "MEDIUM"},
        "Title": f"require-limits: apps/v1/Deployment/shop/{name}",
        "Description": "limits are required",
        "Compliance": {"Status": "FAILED"},
        "Resources": [
            {
                "Type": "Other",
                "Id": uid,
                "Region": REGION,
                "Partition": "aws",
                "Details": {
                    "Other": {
                        "Source": "kyverno",
                        "Category": "Best Practices",
                        "Policy": "require-limits",
                        "Rule": rule,
                        "Result": "fail",
                        "Report": f"shop/{uid}",
                        "Resource APIVersion": "apps/v1",
                        "Resource Kind": "Deployment",
                        "Resource Namespace": "shop",
                        "Resource Name": name,
                        "Resource UID": uid,
                    }
                },
            }
        ],
        "Workflow": {"Status": "NEW"},
        "RecordState": "ACTIVE",
    }


def of_the_sample(name: str) -> Document:
    """A finding as the AWS sample writes it."""
    cluster = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod-eu"
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"arn:aws:eks:{REGION}:{ACCOUNT}:gatekeeper/violation/no-root-prod-eu--Pod-{name}",
        "ProductArn": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default",
        "GeneratorId": "Gatekeeper-no-root",
        "AwsAccountId": ACCOUNT,
        "Types": [f"{TYPES}/Gatekeeper"],
        "CreatedAt": NOW,
        "UpdatedAt": NOW,
        "Severity": {"Label": "MEDIUM"},
        "Title": f"prod-eu/Pod/{name} not compliant to policy no-root",
        "Description": "it may run as root",
        "Compliance": {"Status": "FAILED"},
        "ProductFields": {"ProviderName": "Gatekeeper", "ProviderVersion": "1.0"},
        "Resources": [{"Id": cluster, "Type": "AwsEks", "Partition": "aws", "Region": REGION}],
        "RecordState": "ACTIVE",
    }


def report(name: str) -> Document:
    """The report from which policyhub reads the same violation."""
    result = {"source": "kyverno", "policy": "require-limits", "rule": "autogen-limits", "result": "fail"}
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"name": f"uid-of-{name}", "namespace": "shop", "creationTimestamp": NOW},
        "scope": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": name},
        "results": [{**result, "message": "limits are required"}],
    }


@pytest.fixture
def hub() -> Iterator[HubProcess]:
    with HubProcess.start() as hub:
        yield hub


class Shell:
    """A user's shell with the page's variables."""

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self._hub = hub
        self._folder = folder
        program = folder / "policyhub"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m policyhub "$@"\n')
        program.chmod(0o755)

    def run(self, script: str, *, old: str = "policy-reporter") -> str:
        environment = {
            **os.environ,
            **self._hub.env(),
            "AWS_ACCESS_KEY_ID": access_key(ACCOUNT),
            "PYTHONPATH": str(ROOT / "operator"),
            "PATH": f"{self._folder}:{os.environ['PATH']}",
        }
        command = ["/bin/sh", "-euc", f"old='{old}'\n{script}"]
        run = subprocess.run(  # noqa: S603  (the page's own commands)
            command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def send(self, findings: list[Document]) -> None:
        for start in range(0, len(findings), 100):
            (self._folder / "findings.json").write_text(json.dumps(findings[start : start + 100]))
            answer = json.loads(self.run("aws securityhub batch-import-findings --findings file://findings.json"))
            assert answer["FailedCount"] == 0, answer

    def send_ours(self, *names: str, identity: str = f"--cluster-arn {ARN}") -> None:
        """Import findings as the operator does."""
        (self._folder / "reports.json").write_text("\n".join(json.dumps(report(name)) for name in names))
        flags = f"{identity} --account-id {ACCOUNT} --region {REGION} --output json"
        self.send(json.loads(self.run(f"policyhub render reports.json {flags}")))


@pytest.fixture
def shell(hub: HubProcess, tmp_path: Path) -> Shell:
    return Shell(hub, tmp_path)


def test_findings_of_other_tools_are_counted(hub: HubProcess, shell: Shell) -> None:
    """Each tool's findings are counted, and no others."""
    shell.send([of_policy_reporter("web", "limits"), of_policy_reporter("api", "limits"), of_the_sample("web-1")])
    shell.send_ours("web")
    assert shell.run(blocks("Count the old findings")[0]).split() == ["2", "1"]
    assert len(hub.findings()) == 4


def test_suppressions_are_transferred(hub: HubProcess, shell: Shell) -> None:
    """A suppressed finding's counterpart (same policy, rule and object) is suppressed with its note; no other is."""
    names = ["web", "api", "worker", "open", *(f"many-{n}" for n in range(101))]
    shell.send([of_policy_reporter(name, "autogen-limits" if name == "api" else "limits") for name in names])
    shell.send([of_policy_reporter("web", "requests")])
    shell.send_ours(*names)
    for name, note in NOTES.items():
        hub.analyst([f"{name}-autogen-limits" if name == "api" else f"{name}-limits"], workflow="SUPPRESSED", note=note)
    hub.analyst([f"many-{n}-limits" for n in range(100)], workflow="SUPPRESSED")
    hub.analyst(["many-100-limits"], workflow="SUPPRESSED")
    before = {f["Id"]: f for f in hub.findings()}

    counted, sent = blocks("Copy the analysts' decisions")
    shell.run(counted)
    assert [f for f in hub.findings() if before[f["Id"]] != f] == []  # the page writes only after a review
    shell.run(sent)

    ours = {f["Resources"][0]["Details"]["Other"]["Name"]: f for f in hub.findings(prefix="policyhub/")}
    suppressed = {name: f["Note"]["Text"] for name, f in ours.items() if f["Workflow"]["Status"] == "SUPPRESSED"}
    assert suppressed == NOTES | {f"many-{n}": "Suppressed before the migration" for n in range(101)}
    assert ours["open"]["Workflow"]["Status"] == "NEW"
    assert all(before[f["Id"]] == f for f in hub.findings() if not f["Id"].startswith("policyhub/"))


@pytest.mark.parametrize(("old", "gone"), [("policy-reporter", 2), ("securityhub-k8s-policy-integration", 1)])
def test_findings_of_other_tools_are_archived(hub: HubProcess, shell: Shell, old: str, gone: int) -> None:
    """The named tool's findings are archived with the analysts' values; all others stay."""
    shell.send([of_policy_reporter("web", "limits"), of_policy_reporter("api", "limits"), of_the_sample("web-1")])
    shell.send_ours("web")
    hub.analyst([of_policy_reporter("web", "limits")["Id"]], workflow="SUPPRESSED", note="Ana knows")
    shell.run(blocks("Archive the old findings")[0], old=old)
    archived = [f for f in hub.findings() if f["RecordState"] == "ARCHIVED"]
    assert len(archived) == gone
    assert all(("ProviderName" in f.get("ProductFields", {})) == (gone == 1) for f in archived)
    assert next(f for f in hub.findings() if f["Workflow"]["Status"] == "SUPPRESSED")["Note"]["Text"] == "Ana knows"


def test_triage_is_transferred_to_a_new_identity(hub: HubProcess, shell: Shell) -> None:
    """Analysts' decisions under the name are copied to the ARN with the notes; later decisions stay, and so do the
    findings under the name.
    """
    names = ["web", "api", "worker", "open", "since", *(f"many-{n}" for n in range(101))]
    shell.send_ours(*names, identity="--cluster-name prod-eu")
    before = {f["Resources"][0]["Details"]["Other"]["Name"]: f["Id"] for f in hub.findings()}
    hub.analyst([before["web"]], workflow="SUPPRESSED", note="Accepted until June, Ana")
    hub.analyst([before["api"]], workflow="NOTIFIED")
    hub.analyst([before["worker"]], workflow="RESOLVED", note="A ticket of Ben's")
    hub.analyst([before["since"]], workflow="SUPPRESSED", note="long ago")
    hub.analyst([before[f"many-{n}"] for n in range(100)], workflow="SUPPRESSED")
    hub.analyst([before["many-100"]], workflow="SUPPRESSED")
    shell.send_ours(*names, identity=f"--cluster-arn {ARN}")
    ours = f"policyhub/{ARN}/"
    assert {f["Id"] for f in hub.findings(prefix=ours)} == {ours + i.rpartition("/")[2] for i in before.values()}
    hub.analyst([ours + before["since"].rpartition("/")[2]], workflow="NOTIFIED", note="Clara looks at it")
    kept = hub.findings(prefix="policyhub/prod-eu/")

    _, _, counted, sent, _ = blocks("Change the identity", page="identity")
    assert shell.run(counted).split()[0] == "5"
    shell.run(sent)

    after = {f["Resources"][0]["Details"]["Other"]["Name"]: f for f in hub.findings(prefix=ours)}
    output = {name: (f["Workflow"]["Status"], f.get("Note", {}).get("Text")) for name, f in after.items()}
    assert output == {
        "web": ("SUPPRESSED", "Accepted until June, Ana"),
        "api": ("NOTIFIED", None),
        "worker": ("RESOLVED", "A ticket of Ben's"),
        "open": ("NEW", None),
        "since": ("NOTIFIED", "Clara looks at it"),
        **{f"many-{n}": ("SUPPRESSED", None) for n in range(101)},
    }
    assert hub.findings(prefix="policyhub/prod-eu/") == kept
