"""The demo's first step: hub, control plane, chart, company, operator."""

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dev import crds, testbed
from dev.cluster import Cluster, ControlPlane, open_plane
from dev.company import Company, Object
from dev.company.company import KINDS
from dev.demo.screen import Screen
from dev.demo.stage import Stage
from dev.hub.process import HubProcess

CLUSTER = "harbour"
ARCHIVE_DELAY = "5s"
DISCOVERY_SECONDS = "2"
SPEC: Mapping[str, Any] = {"archiveDelay": ARCHIVE_DELAY, "rollUp": False}
"""Without roll-up: the Pods that the story's constraints list do not exist."""
ENV = [{"name": "POLICYHUB_DISCOVERY_INTERVAL", "value": DISCOVERY_SECONDS}]

FORBIDDEN = (
    ("delete", "wgpolicyk8s.io", "policyreports"),
    ("get", "", "secrets"),
    ("list", "", "configmaps"),
    ("update", "apps", "deployments"),
)
"""Permissions that the operator must not have."""

Document = dict[str, Any]


Populate = Callable[[Screen, Cluster, Path, ExitStack], Company]
"""Fills an empty cluster before the operator starts."""


def open_stage(
    screen: Screen,
    stack: ExitStack,
    populate: Populate | None = None,
    *,
    own: bool = False,
    spec: Mapping[str, Any] = SPEC,
    home: testbed.Home = testbed.here,
) -> Stage:
    """`own`: never a kind cluster; `spec`: of the MonitoredCluster; `home`: where the operator runs."""
    screen.step("A control plane, a local Security Hub, and the operator with its service account")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policyhub-demo-")))
    with screen.waiting("starting the local Security Hub, a server with the AWS protocol and its limits"):
        hub = stack.enter_context(HubProcess.start())
    screen.say(f"Findings page, live from now on: {hub.url}/  (a stand-in on this machine, not AWS)")
    cluster = _cluster(screen, stack, own=own)
    with screen.waiting("rendering the chart with helm and applying it"):
        values = {"monitoredCluster": {"spec": spec}, "extraEnv": ENV}
        installed = testbed.install(cluster, folder, values=values, progress=screen.say)
    screen.say(f"Chart applied: {', '.join(sorted({document['kind'] for document in installed.documents}))}.")
    screen.say(
        f"Shortened for this demo: archiveDelay is {ARCHIVE_DELAY} (default 10m), and the operator checks every"
        f" {DISCOVERY_SECONDS} s (default 10) which APIs the cluster serves."
    )
    company = (populate or _populate)(screen, cluster, folder, stack)
    operator = stack.enter_context(testbed.Operator(installed, hub, home=home))
    stage = Stage(screen, stack, folder, hub, cluster, operator, company)
    with screen.waiting("starting the operator as a process, with the command of the chart's Deployment"):
        operator.start()
    command = " ".join([*installed.container["command"], *installed.container["args"]])
    screen.say(f"Operator started: `{command}` as service account {testbed.NAMESPACE}/{installed.service_account}.")
    _permissions(stage)
    seconds = stage.until("waiting until the operator has read the cluster and Security Hub", lambda: ready(stage))
    screen.say(
        f"MonitoredCluster {CLUSTER} is Ready {seconds:.1f} s later. Metrics: http://127.0.0.1:{operator.port}/metrics"
    )
    return stage


def ready(stage: Stage) -> bool:
    status = testbed.condition(testbed.monitored(stage.cluster, CLUSTER), "Ready").get("status")
    return bool(status == "True")


def _cluster(screen: Screen, stack: ExitStack, *, own: bool) -> Cluster:
    environ: Mapping[str, str] = os.environ
    if "POLICYHUB_KUBECONFIG" in environ:
        screen.say(
            "POLICYHUB_KUBECONFIG is ignored: the demo creates invented workloads, and uses a cluster of its own."
        )
        environ = {name: value for name, value in environ.items() if name != "POLICYHUB_KUBECONFIG"}
    with screen.waiting("starting etcd and kube-apiserver; the first run builds them from source, which takes minutes"):
        start = ControlPlane.start if own else open_plane
        plane = stack.enter_context(start(progress=screen.say, environ=environ))
        cluster = plane.cluster(CLUSTER)
    version = cluster.request("GET", "/version")["gitVersion"]
    screen.say(f"Kubernetes {version} runs at {cluster.url}, with RBAC enabled.")
    return cluster


def _populate(screen: Screen, cluster: Cluster, _folder: Path, _stack: ExitStack) -> Company:
    with screen.waiting("installing the CRDs of the policy engines, and creating the company's workloads"):
        company = _company(cluster)
    screen.say(
        f"The company: {len(company.workloads)} workloads and their Services in {len(company.namespaces())} namespaces."
        " There are no reports yet."
    )
    return company


def _company(cluster: Cluster) -> Company:
    """Reports refer to objects by the uids that the API server assigned."""
    company = Company.build()
    served = [*crds.report_apis(), *(crds.constraint(kind) for kind in KINDS)]
    cluster.apply([*served, *company.namespaces(), *company.manifests()])
    company = company.known_as(_uids(cluster, company.manifests() + company.namespaces()))
    cluster.apply(company.replica_sets())
    return company.known_as(_uids(cluster, company.replica_sets()))


def _uids(cluster: Cluster, manifests: list[Document]) -> dict[Object, str]:
    found = {}
    for manifest in manifests:
        metadata = manifest["metadata"]
        itself = Object(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        found[itself] = str(cluster.request("GET", cluster.path(manifest))["metadata"]["uid"])
    return found


def _permissions(stage: Stage) -> None:
    """Prints what the chart's roles permit, and checks with the API server that FORBIDDEN is denied."""
    installed = stage.operator.installed
    for document in installed.documents:
        if document["kind"] in {"ClusterRole", "Role"}:
            home = document["metadata"].get("namespace")
            where = f"in namespace {home}" if home else "in all namespaces"
            for rule in document["rules"]:
                named = f" named {', '.join(rule['resourceNames'])}" if "resourceNames" in rule else ""
                groups = ", ".join(group or "core" for group in rule["apiGroups"])
                stage.screen.say(
                    f"It may {', '.join(rule['verbs'])} {', '.join(rule['resources'])} ({groups}){named}, {where}."
                )
    itself = stage.cluster.as_user(
        stage.cluster.kubeconfig_for(namespace=testbed.NAMESPACE, service_account=installed.service_account)
    )
    try:
        allowed = [_words(*asked) for asked in FORBIDDEN if _may(itself, *asked)]
    finally:
        itself.close()
    stage.expect(f"the service account may not {', '.join(allowed)}", holds=not allowed)
    if not allowed:
        stage.screen.say(
            f"It may not {', '.join(_words(*asked) for asked in FORBIDDEN)}: the API server denies this to the account."
        )


def _may(cluster: Cluster, verb: str, group: str, resource: str) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": "shop"}},
    }
    answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def _words(verb: str, group: str, resource: str) -> str:
    del group
    return f"{verb} {resource}"
