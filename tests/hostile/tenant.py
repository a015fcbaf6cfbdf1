"""The malicious tenant: a service account with the permissions that Kyverno's chart and Kubernetes give a namespace's
admin.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from dev.cluster import Cluster
from tests.hostile.checker import MARK, TENANT

Document = dict[str, Any]

ACCOUNT = "tenant"
VERBS = ["create", "delete", "get", "list", "patch", "update"]
RULES: list[Document] = [
    {"apiGroups": ["wgpolicyk8s.io"], "resources": ["policyreports"], "verbs": VERBS},
    {"apiGroups": ["openreports.io"], "resources": ["reports"], "verbs": VERBS},
    {"apiGroups": [""], "resources": ["pods", "pods/status", "configmaps", "events"], "verbs": VERBS},
    {
        "apiGroups": ["apps"],
        "resources": ["deployments", "replicasets", "statefulsets", "replicasets/status"],
        "verbs": VERBS,
    },
    {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs", "jobs/status"], "verbs": VERBS},
    {"apiGroups": ["kyverno.io"], "resources": ["policies"], "verbs": VERBS},
    {"apiGroups": ["policies.kubewarden.io"], "resources": ["admissionpolicies"], "verbs": VERBS},
]
POLICIES = (
    "/apis/kyverno.io/v1/namespaces/{}/policies",
    "/apis/policies.kubewarden.io/v1/namespaces/{}/admissionpolicies",
)
PATHS = {
    "PolicyReport": f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/{TENANT}/policyreports",
    "Report": f"/apis/openreports.io/v1alpha1/namespaces/{TENANT}/reports",
    "Pod": f"/api/v1/namespaces/{TENANT}/pods",
    "ConfigMap": f"/api/v1/namespaces/{TENANT}/configmaps",
    "Event": f"/api/v1/namespaces/{TENANT}/events",
    "ReplicaSet": f"/apis/apps/v1/namespaces/{TENANT}/replicasets",
    "Deployment": f"/apis/apps/v1/namespaces/{TENANT}/deployments",
    "StatefulSet": f"/apis/apps/v1/namespaces/{TENANT}/statefulsets",
    "Job": f"/apis/batch/v1/namespaces/{TENANT}/jobs",
    "CronJob": f"/apis/batch/v1/namespaces/{TENANT}/cronjobs",
    "Policy": POLICIES[0].format(TENANT),
    "AdmissionPolicy": POLICIES[1].format(TENANT),
}
THREADS = 4
SECONDS = 30.0


class Tenant:
    """Writes whatever the API server accepts. Refusals are counted; they are not errors."""

    def __init__(self, cluster: Cluster, config: Document) -> None:
        account = cluster.as_user(config)
        self._headers = {"Authorization": f"Bearer {account.access.token}", "Content-Type": "application/json"}
        self._pool = urllib3.HTTPSConnectionPool(
            *_place(account.url), maxsize=THREADS + 2, ssl_context=account.tls, retries=False
        )
        self._lock = threading.Lock()
        self.accepted = 0
        self.refused = 0
        self.until = float("inf")
        """When the attack ends, by the monotonic clock."""

    @classmethod
    def admitted(cls, cluster: Cluster) -> "Tenant":
        """Create the tenant's namespace, account, role and token."""
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TENANT}}])
        metadata = {"name": ACCOUNT, "namespace": TENANT}
        group = "rbac.authorization.k8s.io"
        reference = {"apiGroup": group, "kind": "Role", "name": ACCOUNT}
        subjects = [{"kind": "ServiceAccount", **metadata}]
        accounts: list[Document] = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "name": name}}
            for name in (ACCOUNT, "default")
        ]
        role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": RULES}
        bound = {"kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects}
        cluster.apply([*accounts, role, {"apiVersion": f"{group}/v1", **bound}])
        config = cluster.kubeconfig_for(namespace=TENANT, service_account=ACCOUNT, seconds=24 * 3600)
        return cls(cluster, config)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def put(self, document: Document) -> Document | None:
        """Create the object or replace the one of its name; returns the stored object."""
        path = PATHS[document["kind"]]
        stored = self.send("POST", path, document)
        if stored is None:
            found = self.send("GET", f"{path}/{document['metadata']['name']}")
            if found:
                version = found["metadata"]["resourceVersion"]
                replaced = {**document, "metadata": {**document["metadata"], "resourceVersion": version}}
                return self.send("PUT", f"{path}/{document['metadata']['name']}", replaced)
        return stored

    def rewrite(self, document: Document) -> Document | None:
        """Update with one request if the object exists: members that the document lacks stay."""
        name = document["metadata"]["name"]
        changed = {member: value for member, value in document.items() if member != "metadata"}
        return self.patch(document["kind"], name, changed) or self.put(document)

    def put_all(self, documents: Iterable[Document]) -> None:
        """Write as fast as four connections can, until the attack is over."""
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda document: None if self.over else self.put(document), documents))

    def patch(self, kind: str, name: str, change: Document) -> Document | None:
        return self.send("PATCH", f"{PATHS[kind]}/{name}", change, content="application/merge-patch+json")

    def delete(self, kind: str, name: str) -> None:
        self.send("DELETE", f"{PATHS[kind]}/{name}?gracePeriodSeconds=0&propagationPolicy=Background")

    def send(
        self, method: str, path: str, body: Document | bytes | None = None, *, content: str = ""
    ) -> Document | None:
        """The answer; None if the request was refused. An object that exists already, or does not, is no refusal."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": content} if content else self._headers
        try:
            answer = self._pool.request(method, path, body=data, headers=headers, timeout=SECONDS)
        except urllib3.exceptions.HTTPError:
            answer = None
        good = answer is not None and answer.status < 400
        with self._lock:
            self.accepted += good
            self.refused += not good and (answer is None or answer.status not in {404, 409})
        if answer is None or not good:
            return None
        try:
            decoded: Document = json.loads(answer.data)
        except (RecursionError, ValueError):  # it was stored, and the answer is nested as deeply as the request
            return {}
        return decoded

    def repeat(self, act: Callable[[int], object], times: int) -> None:
        """Repeat this often, unless the attack ends before."""
        for number in range(times):
            if self.over:
                return
            act(number)


def _place(url: str) -> tuple[str, int]:
    parsed = urllib3.util.parse_url(url)
    return parsed.host or "127.0.0.1", parsed.port or 443


# -- documents -----------------------------------------------------------------------------------------------------


def result(policy: str, name: str, /, *, kind: str = "ConfigMap", api: str = "v1", **members: Any) -> Document:
    """A result about an object of the tenant, with the tenant's texts."""
    return {
        "source": "tenant",
        "policy": policy,
        "rule": "check",
        "result": "fail",
        "severity": "medium",
        "message": f"{policy} is not met, {MARK}",
        "resources": [{"apiVersion": api, "kind": kind, "namespace": TENANT, "name": name}],
        "timestamp": {"seconds": int(time.time()), "nanos": 0},
        **members,
    }


def report(name: str, *results: Document, kind: str = "PolicyReport", **members: Any) -> Document:
    version = {"PolicyReport": "wgpolicyk8s.io/v1alpha2", "Report": "openreports.io/v1alpha1"}[kind]
    metadata = {"name": name, "namespace": TENANT}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "results": list(results), **members}


_SPEC: Document = {
    "containers": [{"name": "app", "image": "registry.example.com/app:1"}],
    "automountServiceAccountToken": False,
}
_VERSIONS = {
    "Pod": "v1", "ConfigMap": "v1", "ReplicaSet": "apps/v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1",
    "Job": "batch/v1", "CronJob": "batch/v1",
}  # fmt: skip


def workload(kind: str, name: str, *, owner: Document | None = None, annotations: Document | None = None) -> Document:
    """A workload, with an owner that need not exist."""
    metadata: Document = {"name": name, "namespace": TENANT}
    if annotations:
        metadata["annotations"] = annotations
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    job = {"template": {"spec": {**_SPEC, "restartPolicy": "Never"}}}
    labels = {"app": name[:63]}
    selected = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _SPEC},
        "replicas": 0,
    }
    specs: dict[str, Document] = {
        "Pod": _SPEC,
        "ReplicaSet": selected,
        "Deployment": selected,
        "StatefulSet": {**selected, "serviceName": "app"},
        "Job": job,
        "CronJob": {"schedule": "0 0 * * *", "jobTemplate": {"spec": job}},
    }
    document: Document = {"apiVersion": _VERSIONS[kind], "kind": kind, "metadata": metadata}
    if kind in specs:
        document["spec"] = specs[kind]
    return document


def owner(kind: str, name: str, *, uid: str = "11111111-1111-1111-1111-111111111111", api: str = "apps/v1") -> Document:
    """A reference to a controller."""
    return {"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": True}
