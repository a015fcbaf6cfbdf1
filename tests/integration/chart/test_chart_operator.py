"""Runs the operator as the chart's Deployment specifies it after a real `helm install`: command, environment, files.

The test adds what EKS's webhooks add to a Pod, for both ways to sign in. The API server issues the tokens, and the
local Security Hub verifies them for roles with the policies that `policyhub iam-policy` prints. The process gets
nothing else: no credentials, no kubeconfig, and of this machine's environment only the path of Python.
"""

import copy
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import policyhub
from dev import crds, testbed
from dev.cluster import Cluster, ControlPlane, helm, toolchain
from dev.cluster.certificate import Authority
from dev.hub.process import HubProcess
from dev.image.pod import Image, Pod
from dev.testbed import ACCOUNT, NAMESPACE, REGION, Command, Installed, Operator
from policyhub.iam.policy import Plan, Workload
from tests.integration.chart.gateway import Gateway

SECONDS = 60.0
CLUSTER = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod-eu"
ISSUER = "kubernetes.default.svc.cluster.local"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/policyhub"
FILES = "/var/run/secrets"
HUB, STS = "securityhub.example.test", "sts.example.test"
"""Host names that only the proxy knows."""
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/policyhub"

Document = dict[str, Any]

if os.geteuid() != 0:
    pytest.skip("mounting and changing the root need root", allow_module_level=True)


def values(gateway: Gateway, sign_in: str) -> Document:
    return {
        "clusterName": "prod-eu",
        "securityHub": {"accountId": ACCOUNT, "region": REGION},
        "serviceAccount": {"roleArn": ROLE} if sign_in == "irsa" else {},
        "endpoints": {"securityHub": f"https://{HUB}", "sts": f"https://{STS}"},
        "proxy": {"https": gateway.url},
        "caBundle": {"configMap": "company-ca", "key": "bundle.pem"},
        "replicaCount": 2,
        "settings": {"discoveryInterval": 0.5},
        "extraArgs": ["--metrics-namespaces", "true"],
    }


def admitted(deployment: Document, hub: HubProcess, sign_in: str) -> Document:
    """The Deployment with the additions of EKS's webhook."""
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    if sign_in == "irsa":
        folder, file, audience = f"{FILES}/eks.amazonaws.com/serviceaccount", "token", "sts.amazonaws.com"
        given = hub.irsa(role=ROLE, token=Path(folder, file))
    else:
        folder, audience = f"{FILES}/pods.eks.amazonaws.com/serviceaccount", "pods.eks.amazonaws.com"
        file = "eks-pod-identity-token"
        given = hub.pod_identity(token=Path(folder, file))
    token = {"audience": audience, "expirationSeconds": 86400, "path": file}
    container["env"] += [{"name": name, "value": value} for name, value in given.items()]
    container["volumeMounts"].append({"name": "aws-token", "mountPath": folder, "readOnly": True})
    spec["volumes"].append({"name": "aws-token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    return deployment


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of a company."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def gateway(authority: Authority, hub: HubProcess) -> Iterator[Gateway]:
    with Gateway(authority, (HUB, STS), target=hub.url) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def server(plane: ControlPlane, authority: Authority) -> Iterator[Cluster]:
    """A cluster with an engine's kinds; the operator's namespace enforces `restricted` and holds a CA bundle."""
    cluster = plane.cluster("pods")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    bundle = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "company-ca", "namespace": NAMESPACE},
        "data": {"bundle.pem": authority.pem},
    }
    cluster.apply([namespace, bundle, *crds.policy_reports()])
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def hub(server: Cluster) -> Iterator[HubProcess]:
    """It accepts the tokens of the cluster, and no other credentials."""
    with HubProcess.start(strict_keys=True) as hub:
        hub.clusters({CLUSTER: server.request("GET", "/openid/v1/jwks")})
        hub.associate(CLUSTER, f"{NAMESPACE}/policyhub", ROLE)
        yield hub


def role(sign_in: str) -> Document:
    """The role that `policyhub iam-policy` prints."""
    workload = Workload(
        namespace=NAMESPACE,
        service_account="policyhub",
        clusters=() if sign_in == "irsa" else (CLUSTER,),
        issuers=(ISSUER,) if sign_in == "irsa" else (),
    )
    plan = Plan(
        partition="aws",
        account=ACCOUNT,
        regions=(REGION,),
        role_name="policyhub",
        workload=workload,
        finding_roles=(),
        external_id="",
    )
    (found,) = plan.roles()
    return {"role": found.arn, "trust": found.trust, "permissions": found.permissions}


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """This machine's root folder, read-only; `programs` adds this Python with the operator."""
    (tmp_path / "root").symlink_to("/")
    environment = ["PATH=/run/bin", "PYTHONPATH=/run/operator:/run/site", "LD_LIBRARY_PATH=/run/python/lib"]
    (tmp_path / "config.json").write_text(json.dumps({"Env": environment}))
    script = tmp_path / "bin/policyhub"
    script.parent.mkdir()
    script.write_text("#!/run/python/bin/python3\nfrom policyhub.cli.main import main\nmain()\n")
    script.chmod(0o755)
    return Image(tmp_path)


def programs(image: Image) -> dict[str, str]:
    """Folders of this machine by their path in the Pod, because the Pod's user may not traverse all of their
    parents.
    """
    return {
        "/run/python": sys.base_prefix,
        "/run/site": sysconfig.get_path("purelib"),
        "/run/operator": str(Path(policyhub.__file__).parents[1]),
        "/run/bin": str(image.folder / "bin"),
    }


def report(result: str) -> Document:
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"name": "web", "namespace": "default"},
        "scope": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "default"},
        "results": [
            {"source": "kyverno", "policy": "require-probes", "rule": "check", "result": result, "message": "No probe."}
        ],
    }


@pytest.mark.parametrize("sign_in", ["irsa", "pod identity"])
def test_the_deployed_operator_works(
    server: Cluster, hub: HubProcess, *, gateway: Gateway, image: Image, tmp_path: Path, sign_in: str
) -> None:
    """A violation becomes a finding and is archived after a fix. The MonitoredCluster becomes Ready, for which kubectl
    can wait. AWS is reached through the proxy only, with the mounted CA bundle, and no other host is contacted. The
    process ends on SIGTERM.
    """
    hub.policies([role(sign_in)])
    admin = server.kubeconfig_file(tmp_path / "admin")
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values(gateway, sign_in)))
    where = (f"--namespace={NAMESPACE}", "--kubeconfig", admin)
    helm.run("install", "policyhub", testbed.CHART, f"--values={file}", *where, home=tmp_path)
    deployment = admitted(server.request("GET", DEPLOYMENT), hub, sign_in)

    def home(installed: Installed, environment: Mapping[str, str]) -> Command:
        here = {name: value for name, value in environment.items() if name.startswith("POLICYHUB_METRICS_")}
        return entered(installed, image, here), {}

    installed = Installed(cluster=server, documents=[deployment], folder=tmp_path)
    try:
        with Operator(installed, hub, home=home).start() as operator:
            server.apply([report("fail")])
            testbed.until(lambda: states(hub) == ["ACTIVE"], seconds=SECONDS, what="the finding", operator=operator)
            testbed.until(
                lambda: operator.metric("policyhub_violations", namespace="default") == 1,
                seconds=SECONDS,
                what="violations by namespace: extraArgs reach it",
                operator=operator,
            )
            wait_for_ready(admin, operator)
            assert_healthy(entered(installed, image, metrics(operator), "doctor", "--output=json"))
            lease = server.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/policyhub")
            assert lease["spec"]["holderIdentity"].startswith("policyhub-0")
            server.apply([report("pass")])
            testbed.until(
                lambda: states(hub) == ["ARCHIVED"], seconds=SECONDS, what="the archived finding", operator=operator
            )
            assert operator.stop() < deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        asked = {call["operation"] for call in hub.calls() if not call["error"]}
        assert set(gateway.asked) == {f"{HUB}:443", f"{STS}:443"}
        assert {"irsa": "AssumeRoleWithWebIdentity", "pod identity": "AssumeRoleForPodIdentity"}[sign_in] in asked
    finally:
        helm.run("uninstall", "policyhub", *where, home=tmp_path)
        hub.reset()


def entered(installed: Installed, image: Image, environment: Mapping[str, str], *arguments: str) -> list[str | Path]:
    """The command that enters the Pod's namespaces: its own, or another one as with `kubectl exec`."""
    deployment = copy.deepcopy(installed.documents[0])
    if arguments:
        deployment["spec"]["template"]["spec"]["containers"][0]["args"] = list(arguments)
    command = Pod(deployment, installed.cluster, installed.folder).start(image, environment, parent=os.getpid())
    world = Path(str(command[-1]))
    output = json.loads(world.read_text())
    world.write_text(json.dumps({**output, "folders": {**output["folders"], **programs(image)}}))
    return command


def metrics(operator: Operator) -> dict[str, str]:
    return {"POLICYHUB_METRICS_HOST": "127.0.0.1", "POLICYHUB_METRICS_PORT": str(operator.port)}


def assert_healthy(command: list[str | Path]) -> None:
    """The doctor finds no problem, with only what the Pod has."""
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)  # noqa: S603  (of dev/image)
    assert done.returncode == 0, done.stdout + done.stderr
    output = json.loads(done.stdout)
    assert {"api-access", "credentials", "security-hub", "get-findings"} <= {v["check"] for v in output["results"]}


def states(hub: HubProcess) -> list[str]:
    return [finding["RecordState"] for finding in hub.findings()]


def wait_for_ready(admin: Path, operator: Operator) -> None:
    """The command of docs/install.md."""
    waiting = ("wait", "--for=condition=Ready", "--timeout=60s", "monitoredcluster/prod-eu")
    done = subprocess.run(  # noqa: S603  (a program of ours)
        [toolchain.ensure("kubectl"), f"--kubeconfig={admin}", *waiting], capture_output=True, text=True, check=False
    )
    assert "monitoredcluster.policyhub.dev/prod-eu condition met" in done.stdout, done.stderr + operator.tail()
