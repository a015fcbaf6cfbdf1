"""`policyhub render --live` renders the same findings that the operator sends for the same cluster."""

import json
import os
import subprocess
import sys
from typing import Any

from dev.testbed import ACCOUNT, REGION
from tests.integration.operator.test_operator_rollup import create
from tests.integration.operator.world import World, constraint, report, result

Document = dict[str, Any]

TIMES = ("UpdatedAt", "LastObservedAt")
OURS = (
    "Id", "Title", "Description", "CreatedAt", "FirstObservedAt", "GeneratorId", "ProductArn", "AwsAccountId",
    "FindingProviderFields", "Compliance", "Resources", "RecordState", "SchemaVersion", "Remediation",
)  # fmt: skip


POLICY: Document = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "quota", "annotations": {"policies.kyverno.io/title": "Every Namespace has a Quota"}},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"]}
            ]
        },
        "validations": [{"expression": "true"}],
    },
}


def test_rendered_findings_equal_the_sent_ones(world: World) -> None:
    """Except for the time of rendering: reports of each API, a constraint, a Pod that rolls up to its Deployment, and a
    policy with metadata.
    """
    on_pod = report("web-1-x", result("pods"))
    on_pod["scope"] = {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-1-x"}
    create(world, "Pod", "web-1-x", create(world, "ReplicaSet", "web-1", create(world, "Deployment", "web")))
    world.apply(
        on_pod, report("web", result("labels"), result("probes", severity="high"), result("fine", result="pass"))
    )
    world.apply(report("other", result("labels", result="warn"), kind="Report"))
    world.apply(report("shop", result("quota", source="ValidatingAdmissionPolicy"), kind="ClusterPolicyReport"))
    world.apply(POLICY)
    world.apply(constraint("repos", "web-1-x"))
    world.write_status(constraint("repos", "web-1-x"))
    world.monitor(rollUp=True)
    world.start()
    world.synced()
    sent = {finding["Id"]: finding for finding in world.found().values()}
    assert len(sent) == 6
    assert any(finding["Title"].startswith("Every Namespace has a Quota: ") for finding in sent.values())
    done = subprocess.run(  # noqa: S603  (this project's own program)
        [
            sys.executable, "-m", "policyhub", "render", "--live", "--kubeconfig", str(world.installed.kubeconfig()),
            "--cluster-name", "alpha", "--account-id", ACCOUNT, "--region", REGION,
        ],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "KUBECONFIG": ""},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rendered = {finding["Id"]: finding for finding in map(json.loads, done.stdout.splitlines())}
    named = {id_: (f["Title"], f["GeneratorId"]) for id_, f in rendered.items()}
    assert named == {id_: (f["Title"], f["GeneratorId"]) for id_, f in sent.items()}
    for id_, finding in rendered.items():
        assert {k: finding.get(k) for k in OURS} == {k: sent[id_].get(k) for k in OURS}
        fields = sent[id_]["ProductFields"]
        assert finding["ProductFields"] == {k: v for k, v in fields.items() if not k.startswith("aws/")}
        assert finding.keys() - {*OURS, *TIMES} == {"ProductFields", "ProductName", "CompanyName"}
