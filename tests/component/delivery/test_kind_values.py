"""The values of the kind cluster, with the real helm."""

from pathlib import Path

import yaml

from dev.cluster.helm import render
from dev.kind import story

ROOT = Path(__file__).resolve().parents[3]


def test_the_chart_accepts_the_values() -> None:
    """Image, hub and cluster match the scripts and manifests."""
    values = yaml.safe_load((ROOT / "dev/kind/policyhub.yaml").read_text("utf-8"))
    documents = render(ROOT / "charts/policyhub", "policyhub", "policyhub", values)
    hub = list(yaml.safe_load_all((ROOT / "dev/kind/hub.yaml").read_text("utf-8")))
    (container,) = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"]
    script = (ROOT / "dev/kind/up.sh").read_text("utf-8")
    assert f"--tag {container['image']} " in script
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    service = next(d for d in hub if d["kind"] == "Service")
    address = (
        f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{service['spec']['ports'][0]['port']}"
    )
    assert environment["AWS_ENDPOINT_URL"] == f"http://{address}"
    (server,) = next(d for d in hub if d["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"]
    assert f"--account={environment['POLICYHUB_ACCOUNT_ID']}" in server["args"]
    assert f"--key={environment['AWS_ACCESS_KEY_ID']}={environment['POLICYHUB_ACCOUNT_ID']}" in server["args"]
    assert f"--region={environment['POLICYHUB_REGION']}" in server["args"]
    monitored = next(d for d in documents if d["kind"] == "MonitoredCluster")
    assert f"monitoredcluster/{monitored['metadata']['name']}\n" in script


def test_expected_findings() -> None:
    """Each flaw is one finding of each engine, about the Deployment, and the fix archives one of each."""
    states = story.expected(fixed=True)
    assert len(states) == 2 * len(story.RULES)
    assert sorted(call.source for call, state in states.items() if state == "ARCHIVED") == ["gatekeeper", "kyverno"]
    assert {call.kind for call in states} == {"Deployment"}


def test_the_fix_removes_one_flaw() -> None:
    """The fixed workload differs in that flaw only."""
    flaws = {rule.flaw for rule in story.RULES}
    before, after = (story.workload(set(found))[1] for found in (flaws, flaws - {story.FIXED}))
    (container,) = after["spec"]["template"]["spec"]["containers"]
    assert container.pop("resources") == {"limits": {"memory": "32Mi"}}
    assert before == after
