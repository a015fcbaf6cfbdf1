"""Whether the operator has the Kubernetes permissions that it needs: one review for each verb and resource.

The API server itself answers, so the result includes roles, aggregated roles and authorization webhooks:

| permissions of          | review                  | who may create it |
|-------------------------|-------------------------|-------------------|
| this identity           | SelfSubjectAccessReview | everybody         |
| another service account | SubjectAccessReview     | an administrator  |
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from policyhub.api.monitoredcluster import GROUP, PLURAL, MonitoredCluster
from policyhub.cluster.formatting import counted
from policyhub.cluster.remedies import DOCTOR
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.decoding import decoded
from policyhub.model.policy_apis import ASKED_POLICIES, POLICY_KINDS
from policyhub.model.source_apis import SOURCE_APIS, Shape, enabled, shapes
from policyhub.sync.existence import OTHER_KINDS, WATCHED_KINDS
from policyhub.sync.owners import CONTROLLERS, RESOURCES

_REVIEWS = "/apis/authorization.k8s.io/v1"
_READ = ("list", "watch")
_REMEDIES: Mapping[str, str] = {
    "read": "bind the chart's ClusterRole (rbac.create) to this identity; in another cluster, install the chart"
    " policyhub-access and bind its ClusterRole to this identity or to one of its groups",
    "roll-up": "set the chart's rbac.rollUp; or switch roll-up off (spec.rollUp: false), which changes the ids of"
    " findings about Pods",
    "owners": "set the chart's rbac.rollUp; without it, the operator does not verify the controllers that Pods name",
    "enrichment": "set the chart's rbac.enrichment; or switch enrichment off (spec.enrichment: false): findings then"
    " lack the policies' titles, descriptions and remediations",
    "existence": "set the chart's rbac.existence; without it, the operator archives findings that are no longer"
    " reported without checking whether their objects and policies still exist",
    "namespaces": "set the chart's rbac.namespaces; without it, the guard may hold findings of deleted namespaces"
    " (condition ArchiveHeld)",
    "own objects": "bind the chart's ClusterRole and Roles (rbac.create) to the operator's service account",
    "finalizers": "set the chart's rbac.finalizers; without it, deleting a MonitoredCluster archives no findings, even"
    " with deletionPolicy: Archive",
    "lease": "install the chart with replicas: 2: it then creates the Role for the Lease",
    "kubeconfig": "add the Secret to the chart's kubeconfigSecrets",
}


@dataclass(frozen=True, slots=True)
class Need:
    """One permission that the operator needs."""

    part: str
    """The purpose: a key of `_REMEDIES`."""
    verb: str
    resource: str
    """With its subresource, as in RBAC rules: `monitoredclusters/status`."""
    group: str = ""
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {resource}{named}{f' in {self.namespace}' if self.namespace else ''}"


def of_monitored(monitored: MonitoredCluster) -> list[Need]:
    """The permissions that the operator needs in the monitored cluster."""
    spec, groups = monitored.spec, enabled(monitored.spec.sources)
    read = ((plural, api.group) for api in SOURCE_APIS if api.group in groups for plural in api.resources)
    needs = [Need("read", verb, *resource) for resource in read for verb in _READ]
    needs.append(Need("read", "get", "namespaces", name="kube-system"))
    needs += [Need("namespaces", verb, "namespaces") for verb in _READ]
    if spec.roll_up:
        for part, resources in (("roll-up", RESOURCES), ("owners", CONTROLLERS)):
            needs += [Need(part, verb, r.plural, r.group) for r in resources for verb in _READ]
    if spec.enrichment:
        needs += [Need("enrichment", verb, *_resource(source_api)) for source_api in POLICY_KINDS for verb in _READ]
    needs += [Need("existence", "get", *_resource(source_api)) for source_api in (*WATCHED_KINDS, *OTHER_KINDS)]
    needs += [Need("existence", "list", *_resource(source_api)) for source_api in OTHER_KINDS]
    if Shape.REPORT in shapes(groups):
        needs += [Need("existence", "list", *_resource(source_api)) for source_api in ASKED_POLICIES]
    return needs


def _resource(source_api: str) -> tuple[str, str]:
    """Plural and group of `policyreports.wgpolicyk8s.io`."""
    plural, _, group = source_api.partition(".")
    return plural, group


def of_home(monitored: Iterable[MonitoredCluster], *, lease: str | None) -> list[Need]:
    """The permissions that the operator needs in its own cluster. `lease` is `namespace/name`, or None without one."""
    listed = list(monitored)
    needs = [Need("own objects", verb, PLURAL, GROUP) for verb in _READ]
    needs.append(Need("own objects", "patch", f"{PLURAL}/status", GROUP))
    needs.append(Need("own objects", "create", "events", namespace="default"))
    if any(m.spec.deletion_policy == "Archive" and m.spec.mode == "Sync" for m in listed):
        needs.append(Need("finalizers", "patch", PLURAL, GROUP))
    if lease is not None:
        namespace, _, name = lease.partition("/")
        group = "coordination.k8s.io"
        needs += [Need("lease", verb, "leases", group, name, namespace) for verb in ("get", "patch")]
        needs.append(Need("lease", "create", "leases", group, namespace=namespace))
    references = (m.spec.connection.kubeconfig_secret_ref for m in listed)
    needs += [
        Need("kubeconfig", "get", "secrets", name=r.name, namespace=r.namespace) for r in references if r is not None
    ]
    return needs


async def check(connection: Connection, about: str, needs: Iterable[Need], *, account: str = "") -> list[CheckResult]:
    """One problem for each purpose that lacks a permission, or one result that none is missing. `account` is the
    service account (`namespace/name`) whose permissions are checked; empty: this identity.
    """
    distinct = list(dict.fromkeys(needs))
    try:
        allowed = await asyncio.gather(*(_allowed(connection, need, account) for need in distinct))
    except (Refused, Unreachable) as error:
        remedy = DOCTOR["api-access/account" if account else "api-access"]
        return [unchecked("api-access", about, f"the permissions cannot be checked: {error}", remedy=remedy)]
    return evaluate(about, dict(zip(distinct, allowed, strict=True)), account=account)


def evaluate(about: str, allowed: Mapping[Need, bool], *, account: str = "") -> list[CheckResult]:
    """Pure."""
    lacking: defaultdict[str, list[Need]] = defaultdict(list)
    for need, may in allowed.items():
        if not may:
            lacking[need.part].append(need)
    who = f"service account {account}" if account else "this identity"
    if not lacking:
        return [
            fine(
                "api-access",
                about,
                f"{who} has every permission that the operator needs ({counted(len(allowed), 'permission')})",
            )
        ]
    return [
        problem(
            "api-access",
            about,
            f"{who} may not: {', '.join(map(str, missing))}",
            remedy=_REMEDIES[part],
        )
        for part, missing in lacking.items()
    ]


class _Answer(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Answer


_review = msgspec.json.Decoder(_Review)


async def _allowed(connection: Connection, need: Need, account: str) -> bool:
    resource, _, subresource = need.resource.partition("/")
    attributes = {
        "verb": need.verb,
        "group": need.group,
        "resource": resource,
        "subresource": subresource,
        "name": need.name,
        "namespace": need.namespace,
    }
    kind, spec = "SelfSubjectAccessReview", {"resourceAttributes": attributes}
    if account:
        namespace, _, name = account.partition("/")
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        kind = "SubjectAccessReview"
        spec |= {"user": f"system:serviceaccount:{namespace}:{name}", "groups": groups}  # type: ignore[dict-item]  # JSON
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    raw = await connection.post(f"{_REVIEWS}/{kind.lower()}s", body)
    return decoded(_review, raw, Unreachable).status.allowed
