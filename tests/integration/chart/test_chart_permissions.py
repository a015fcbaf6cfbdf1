"""Each permission of the rendered roles is needed, and they are sufficient: a real operator against a real API server.

The permissions are read from the rendered chart: one verb on one resource each. The operator runs with all of them,
then without some of them. Its message about a missing permission proves that it needs the permission; a permission of
the chart without a known proof fails the test. The operator rarely checks whether objects exist, so here its own code
does so with its identity.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from dev import crds, testbed
from dev.cluster import ApiError, Cluster, ControlPlane, helm
from dev.hub.process import HubProcess
from dev.testbed import Installed, Operator
from policyhub.model.source_apis import SOURCE_APIS
from policyhub.model.violation import Subject
from policyhub.sync.existence import LIST_FROM, OTHER_KINDS, WATCHED_KINDS, PolicyName, Presence
from tests.integration.kube.existence_rig import running_existence

SECONDS = 60.0
FAST = {"POLICYHUB_DISCOVERY_INTERVAL": "0.5"}
KIND = "K8sRequiredLabels"
VALUES = {
    "clusterName": "alpha",
    "replicaCount": 2,
    "monitoredCluster": {"spec": {"deletionPolicy": "Archive"}},
    "monitoredClusters": [
        {"name": "beta", "spec": {"connection": {"kubeconfigSecretRef": {"namespace": "fleet", "name": "beta"}}}}
    ],
}
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{testbed.NAMESPACE}/leases/policyhub"

Document = dict[str, Any]


@dataclass(frozen=True)
class Permission:
    """One verb on one resource, as a role grants it."""

    scope: str
    """The role's namespace; empty for cluster-wide."""
    group: str
    resource: str
    verb: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = f"/{','.join(self.names)}" if self.names else ""
        return f"{self.verb} {self.resource}{names}{f'.{self.group}' if self.group else ''} in {self.scope or 'all'}"

    @property
    def origin(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def denied(self, cluster: Cluster) -> bool:
        """Whether the API server denies it to the operator."""
        resource, _, subresource = self.resource.partition("/")
        asked = {
            "group": self.group,
            "resource": "k8srequiredlabels" if resource == "*" else resource,
            "subresource": subresource,
            "verb": self.verb,
            "namespace": self.scope,
            "name": self.names[0] if self.names else "",
        }
        user = f"system:serviceaccount:{testbed.NAMESPACE}:policyhub"
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": asked},
        }
        answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return not answer["status"]["allowed"]


def permissions(role: Document) -> Iterator[Permission]:
    """The permissions that a role grants."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    scope = role["metadata"].get("namespace", "")
                    yield Permission(scope, group, resource, verb, tuple(rule.get("resourceNames", ())))


def without(role: Document, taken: set[Permission]) -> Document:
    """The role without these permissions, with one rule for each remaining one."""
    rules = [
        {
            "apiGroups": [permission.group],
            "resources": [permission.resource],
            "verbs": [permission.verb],
            **({"resourceNames": list(permission.names)} if permission.names else {}),
        }
        for permission in permissions(role)
        if permission not in taken
    ]
    return {**role, "rules": rules}


# -- the operator's messages about missing permissions --------------------------------------------------------------

Proof = Callable[[Permission, Operator], bool]


def logged(operator: Operator, event: str, **fields: str) -> bool:
    return any(
        line.get("event") == event and all(value in str(line.get(name, "")) for name, value in fields.items())
        for line in operator.log()
    )


def reflector(permission: Permission, operator: Operator) -> bool:
    """The log names the resource and the denied verb."""
    plural = "k8srequiredlabels" if permission.resource == "*" else permission.resource
    reason = {"list": "ListingForbidden", "watch": "WatchForbidden"}[permission.verb]
    return logged(operator, "reflector_failed", resource=plural, reason=reason)


def identity(_: Permission, operator: Operator) -> bool:
    return logged(operator, "cluster_unreachable", cluster="alpha", reason="Forbidden")


def secret(_: Permission, operator: Operator) -> bool:
    message = 'cannot get resource "secrets"'
    return logged(operator, "cluster_unreachable", cluster="beta", reason="KubeconfigInvalid", message=message)


def status(_: Permission, operator: Operator) -> bool:
    return logged(operator, "status_not_written", message='cannot patch resource "monitoredclusters/status"')


def own_finalizer(_: Permission, operator: Operator) -> bool:
    """The log and a Kubernetes Event name it."""
    message = 'cannot patch resource "monitoredclusters" in'
    return logged(operator, "finalizer_not_written", message=message)


def event(_: Permission, operator: Operator) -> bool:
    return logged(operator, "event_not_written", message='cannot create resource "events"')


def own(permission: Permission, operator: Operator) -> bool:
    """Kopf reads the operator's own objects; its log line has the server's answer."""
    return any(f'cannot {permission.verb} resource "monitoredclusters"' in str(line) for line in operator.log())


def lease(permission: Permission, operator: Operator) -> bool:
    return logged(operator, "lease_forbidden", message=f"cannot {permission.verb} resource")


def elsewhere(_: Permission, __: Operator) -> bool:
    """The log does not mention it; test_existence_is_needed proves the need."""
    return False


SOURCES = {plural for api in SOURCE_APIS for plural in api.resources}
OWNERS = {
    "pods",
    "replicasets",
    "jobs",
    "deployments",
    "statefulsets",
    "daemonsets",
    "cronjobs",
    "replicationcontrollers",
}
POLICIES = {crd["spec"]["names"]["plural"] for crd in crds.policies()} | {"validatingadmissionpolicies"}
READ = SOURCES | OWNERS | POLICIES | {"namespaces"}
ASKED = (*WATCHED_KINDS, *OTHER_KINDS)


def experiment(permission: Permission) -> tuple[str, Proof]:
    """The permissions that are removed together, and how the lack of this one shows. Other permissions are not known to
    be needed.
    """
    match permission:
        case Permission(verb="list" | "watch", resource="monitoredclusters"):
            return f"own objects, {permission.verb}", own
        case Permission(verb="list" | "watch", resource=resource) if resource in READ:
            return f"sources, {permission.verb}", reflector
        case Permission(verb="get" | "list", names=()) if permission.origin in ASKED:
            return f"existence, {permission.verb}", elsewhere
        case Permission(verb="get", resource="namespaces", names=("kube-system",)):
            return "identity and status", identity
        case Permission(verb="patch", resource="monitoredclusters/status"):
            return "identity and status", status
        case Permission(verb="patch", resource="monitoredclusters"):
            return "identity and status", own_finalizer
        case Permission(verb="get", resource="secrets", names=("beta",), scope="fleet"):
            return "sources, list", secret
        case Permission(verb="create", resource="events", scope="default"):
            return "sources, list", event
        case Permission(resource="leases", scope=testbed.NAMESPACE):
            return f"lease, {permission.verb}", lease
    raise LookupError(f"no proof that the operator needs: {permission}")


EXPERIMENTS = (
    "sources, list",
    "sources, watch",
    "identity and status",
    "own objects, list",
    "own objects, watch",
    "lease, get",
    "lease, create",
    "lease, patch",
)
ASKING = ("existence, get", "existence, list")


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    with HubProcess.start() as hub:
        yield hub


@pytest.fixture(scope="module")
def installed(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A cluster with engines' kinds and the chart; the operator monitors it twice: in-cluster, and by a kubeconfig."""
    cluster = plane.cluster("permissions")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fleet"}}
    cluster.apply([namespace, *crds.report_apis(), *crds.policies(), crds.constraint(KIND)])
    installed = testbed.install(cluster, tmp_path_factory.mktemp("permissions"), values=VALUES)
    config = json.loads(installed.kubeconfig().read_text())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": "fleet", "name": "beta"},
        "stringData": {"kubeconfig": json.dumps(config)},
    }
    cluster.apply([secret])
    yield installed
    cluster.stop()


def roles(installed: Installed) -> list[Document]:
    return [document for document in installed.documents if document["kind"] in {"ClusterRole", "Role"}]


def _await_ready(cluster: Cluster, name: str, operator: Operator) -> None:
    def ready() -> bool:
        return testbed.condition(testbed.monitored(cluster, name), "Ready").get("status") == "True"

    testbed.until(ready, seconds=SECONDS, what=f"{name} to be Ready", operator=operator)


def test_the_permissions_are_sufficient(installed: Installed, hub: HubProcess) -> None:
    """With the chart's permissions both clusters become Ready, and no request of the operator is denied."""
    with Operator(installed, hub, settings=FAST).start() as operator:
        for name in ("alpha", "beta"):
            _await_ready(installed.cluster, name, operator)
        assert "forbidden" not in json.dumps(operator.log()).lower()


def test_switches_only_remove_permissions(installed: Installed, hub: HubProcess) -> None:
    """With every switch off both clusters still become Ready; a condition reports what the operator does not know."""
    cluster = installed.cluster
    values = {
        **VALUES,
        "monitoredCluster": {},  # without fields that need a switch: Archive does
        "securityHub": {"accountId": testbed.ACCOUNT, "region": testbed.REGION},
        "rbac": {"namespaces": False, "rollUp": False, "enrichment": False, "existence": False, "finalizers": False},
    }
    least = helm.render(testbed.CHART, testbed.RELEASE, testbed.NAMESPACE, values)
    cluster.apply([document for document in least if document["kind"] in {"ClusterRole", "Role"}])
    _forget(cluster)
    try:
        with Operator(installed, hub, settings=FAST).start() as operator:
            for name in ("alpha", "beta"):
                _await_ready(cluster, name, operator)
                for type_ in ("OwnersKnown", "PoliciesKnown"):
                    output = testbed.condition(testbed.monitored(cluster, name), type_)
                    assert (output["status"], output["reason"]) == ("False", "Forbidden")
    finally:
        cluster.apply(roles(installed))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_permission_is_needed(installed: Installed, hub: HubProcess, name: str) -> None:
    """Without it the operator cannot do its work, and reports that."""
    cluster = installed.cluster
    given = [permission for role in roles(installed) for permission in permissions(role)]
    taken = {permission: experiment(permission)[1] for permission in given if experiment(permission)[0] == name}
    assert taken
    _forget(cluster)
    wider = {p for p in given if any(p == dataclasses.replace(named, names=()) for named in taken)}
    cluster.apply([without(role, {*taken, *wider}) for role in roles(installed)])
    try:
        testbed.until(lambda: all(p.denied(cluster) for p in taken), seconds=SECONDS, what="the permissions to go")
        operator = Operator(installed, hub, settings=FAST)
        operator.start(wait=False)
        try:
            for permission, proof in taken.items():
                testbed.until(
                    partial(proof, permission, operator),
                    seconds=SECONDS,
                    what=f"what shows that it needs: {permission}",
                    operator=operator,
                )
        finally:
            operator.kill()
    finally:
        cluster.apply(roles(installed))
        testbed.until(lambda: not any(p.denied(cluster) for p in taken), seconds=SECONDS, what="the permissions back")


def test_every_permission_is_tried(installed: Installed) -> None:
    """Each permission of the chart belongs to one of the experiments."""
    given = [permission for role in roles(installed) for permission in permissions(role)]
    assert {experiment(permission)[0] for permission in given} == {*EXPERIMENTS, *ASKING}


async def test_existence_can_be_read(installed: Installed) -> None:
    """The API server answers existence checks for all permitted kinds, one by one, and for many objects by a list."""
    policies = [
        PolicyName(source, "a") for source in ("kyverno", "ValidatingAdmissionPolicy", "KyvernoValidatingPolicy")
    ]
    for number in (1, LIST_FROM):
        subjects = [subject for them in questions(installed.cluster, number).values() for subject in them]
        async with running_existence(json.loads(installed.kubeconfig().read_text())) as asked:
            answers = await asked.presence(*subjects, *policies)
            assert answers == [Presence.ABSENT] * (len(subjects) + len(policies))
            assert asked.asker.requests < 3 * len(ASKED)


@pytest.mark.parametrize("name", ASKING)
async def test_existence_is_needed(installed: Installed, name: str) -> None:
    """Without get it is unknown whether an object exists; without list, each of many objects costs a request."""
    cluster = installed.cluster
    given = [permission for role in roles(installed) for permission in permissions(role)]
    taken = {permission for permission in given if experiment(permission)[0] == name}
    number = 1 if name == "existence, get" else LIST_FROM
    asked_for = questions(cluster, number)
    subjects = [subject for permission in taken for subject in asked_for[permission.origin]]
    assert subjects
    cluster.apply([without(role, taken) for role in roles(installed)])
    try:
        testbed.until(lambda: all(p.denied(cluster) for p in taken), seconds=SECONDS, what="the permissions to go")
        async with running_existence(json.loads(installed.kubeconfig().read_text())) as asked:
            if name == "existence, get":
                assert await asked.until_refused(*subjects) == [Presence.UNKNOWN] * len(subjects)
                assert asked.existence.forbidden == sorted(permission.origin for permission in taken)
            else:
                assert await asked.presence(*subjects) == [Presence.ABSENT] * len(subjects)
                assert asked.asker.requests > len(subjects)
    finally:
        cluster.apply(roles(installed))
        testbed.until(lambda: not any(p.denied(cluster) for p in taken), seconds=SECONDS, what="the permissions back")


def questions(cluster: Cluster, number: int) -> dict[str, list[Subject]]:
    """Existence checks for this many objects of each kind, none of which exists."""
    asked = {}
    for origin in ASKED:
        plural, _, group = origin.partition(".")
        version = cluster.request("GET", f"/apis/{group}")["preferredVersion"]["version"] if group else "v1"
        served = cluster.request("GET", f"/apis/{group}/{version}" if group else "/api/v1")["resources"]
        kind = next(entry for entry in served if entry["name"] == plural)
        inside = "default" if kind["namespaced"] else ""
        asked[origin] = [Subject(group, kind["kind"], inside, f"never-{n}") for n in range(number)]
    return asked


def _forget(cluster: Cluster) -> None:
    """Delete the Lease and the finalizer so that they must be created again, and the conditions so that an Event is
    due.
    """
    with contextlib.suppress(ApiError):
        cluster.request("DELETE", LEASE)
    for name in ("alpha", "beta"):
        path = f"/apis/policyhub.dev/v1alpha1/monitoredclusters/{name}"
        cluster.request("PATCH", f"{path}/status", {"status": None})
        cluster.request("PATCH", path, {"metadata": {"finalizers": None}})
