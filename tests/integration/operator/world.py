"""The world of the operator's tests: a cluster with the chart, the local hub, and operators as processes.

A `World` remembers what was put into its cluster, so that `clear` can remove it: starting an API server for each test
would take four seconds, deleting a dozen objects takes a fraction of one.
"""

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from dev import crds, testbed
from dev.cluster import ApiError, Cluster
from dev.company.truth import violation_in
from dev.hub.process import HubProcess
from dev.testbed import ACCOUNT, Installed, Operator

Document = dict[str, Any]

SECONDS = 150.0
"""The longest wait for any condition: on an idle machine it takes one or two seconds, back-offs take longer."""
SETTINGS = {"POLICYHUB_DISCOVERY_INTERVAL": "0.5", "POLICYHUB_EKS_ENDPOINT_HOSTS": "127.0.0.1,localhost"}
CLUSTERS = "/apis/policyhub.dev/v1alpha1/monitoredclusters"
KINDS = ("K8sAllowedRepos", "K8sRequiredLabels")
ENGINES = [*crds.report_apis(), *(crds.constraint(kind) for kind in KINDS)]

FindingSubject = tuple[str, str, str, str, str, str]
"""Source, policy, rule, kind, namespace and name of a finding."""


@dataclass(frozen=True)
class Mark:
    """A position in the hub's journal and call log."""

    entry: int
    call: int


class World:
    def __init__(self, installed: Installed, hub: HubProcess) -> None:
        self.installed = installed
        self.cluster: Cluster = installed.cluster
        self.hub = hub
        self._operators: list[Operator] = []
        self._applied: dict[str, None] = {}
        self._namespaces: set[str] = {"default"}

    # -- the operator ---------------------------------------------------------------------------------------------

    @property
    def operator(self) -> Operator:
        """The operator that was started last."""
        return self._operators[-1]

    @property
    def operators(self) -> tuple[Operator, ...]:
        """All started operators, in order."""
        return tuple(self._operators)

    def start(self, *, account: str = ACCOUNT, wait: bool = True, **settings: str) -> Operator:
        """Start one more operator; with `wait`, until it is ready. `settings` are environment variables."""
        operator = Operator(self.installed, self.hub, settings={**SETTINGS, **settings}, account=account)
        self._operators.append(operator)
        return operator.start(wait=wait)

    def until(self, holds: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
        operator = self._operators[-1] if self._operators else None
        testbed.until(holds, seconds=seconds, what=what, operator=operator, every=0.05)

    def clear(self) -> None:
        """Stop the operators, remove all applied objects, and empty the hub."""
        self.end()
        testbed.until(self._answers, seconds=SECONDS, what=f"{self.cluster.name} to answer")
        for cluster in self.cluster.request("GET", CLUSTERS)["items"]:
            path = f"{CLUSTERS}/{cluster['metadata']['name']}"
            if cluster["metadata"].get("finalizers"):
                self.cluster.request("PATCH", path, {"metadata": {"finalizers": None}})
            self._remove(path)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(self._remove, self._applied))
        self._applied.clear()
        self.hub.reset()

    def _answers(self) -> bool:
        """A restarted server may answer 429 at first."""
        try:
            self.cluster.request("GET", CLUSTERS)
        except ApiError as error:
            if error.status != 429:
                raise
            return False
        return True

    def end(self) -> None:
        """Kill the operators that still run."""
        for operator in self._operators:
            operator.__exit__()
        self._operators.clear()

    # -- the cluster ----------------------------------------------------------------------------------------------

    def monitor(self, name: str = "", *, annotations: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Apply the chart's MonitoredCluster, with `spec` changed, and maybe another name. Without roll-up, because the
        Pods in the constraints here do not exist.
        """
        document = copy.deepcopy(next(d for d in self.installed.documents if d["kind"] == "MonitoredCluster"))
        document["metadata"]["name"] = name or document["metadata"]["name"]
        document["metadata"]["annotations"] = dict(annotations or {})
        document["spec"] |= {"rollUp": False, **spec}
        self.cluster.apply([document])

    def monitored(self, name: str = "alpha") -> Document:
        return testbed.monitored(self.cluster, name)

    def condition(self, type_: str, name: str = "alpha") -> Document:
        """Status, reason and message; all empty if the condition does not exist yet."""
        return {"status": "", "reason": "", "message": "", **testbed.condition(self.monitored(name), type_)}

    def await_condition(self, type_: str, status: str, *, reason: str = "", name: str = "alpha") -> Document:
        """Wait for the condition and return it."""

        def holds() -> bool:
            found = self.condition(type_, name)
            return found["status"] == status and reason in {"", found["reason"]}

        self.until(holds, f"{name} to be {type_}={status} {reason}")
        return self.condition(type_, name)

    def synced(self, name: str = "alpha") -> None:
        """Wait until all sources are read and nothing waits to be sent (the condition would change 2 s later)."""
        self.until(lambda: self.operator.metric("policyhub_in_sync", cluster=name) == 1, f"{name} to be in sync")

    def well(self, name: str = "alpha") -> None:
        """Wait until the MonitoredCluster is Ready and InSync."""
        self.await_condition("Ready", "True", name=name)
        self.await_condition("InSync", "True", name=name)

    def apply(self, *documents: Document) -> None:
        """Apply the documents and their namespaces."""
        self.spaces({d["metadata"].get("namespace", "default") for d in documents})
        self.cluster.apply(documents)
        for document in documents:
            self._applied[self.cluster.path(document)] = None

    def spaces(self, names: set[str]) -> None:
        """Create these namespaces if they do not exist."""
        new = sorted(names - self._namespaces)
        self.cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in new])
        self._namespaces.update(new)

    def end_space(self, name: str) -> None:
        """Delete a namespace; no controller empties it here, so without finalizers it is gone at once."""
        path = f"/api/v1/namespaces/{name}"
        self.cluster.request("DELETE", path)
        space = self.cluster.request("GET", path)
        self.cluster.request("PUT", f"{path}/finalize", {**space, "spec": {"finalizers": []}})
        self._namespaces.discard(name)

    def create(self, document: Document) -> None:
        """Create from plain JSON: server-side apply reads YAML, which supports fewer characters."""
        path = self.cluster.path(document)
        self.cluster.request("POST", path.rpartition("/")[0], document)
        self._applied[path] = None

    def write_status(self, document: Document) -> None:
        """Replace the whole status, as Gatekeeper's audit does."""
        path = self.cluster.path(document)
        stored = self.cluster.request("GET", path)
        self.cluster.request("PUT", f"{path}/status", {**stored, "status": document["status"]})

    def audit(self, name: str, *pods: str, total: int | None = None, kind: str = KINDS[0]) -> None:
        """Two audits with the same result, because a shorter list counts from the second audit on."""
        for _ in range(2):
            self.write_status(constraint(name, *pods, total=total, kind=kind))

    def delete(self, *documents: Document) -> None:
        for document in documents:
            self.cluster.request("DELETE", self.cluster.path(document))

    def _remove(self, path: str) -> None:
        try:
            self.cluster.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    # -- the hub --------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        return Mark(entry=len(self.hub.journal()), call=len(self.hub.calls()))

    def journal(self, mark: Mark = Mark(0, 0)) -> list[Document]:
        """The operators' imports since the mark."""
        return [entry for entry in self.hub.journal(mark.entry) if entry["kind"] == "import"]

    def calls(self, mark: Mark = Mark(0, 0), operation: str = "") -> list[Document]:
        """The operators' calls since the mark, or those of one operation."""
        calls = [call for call in self.hub.calls(mark.call) if "analyst" not in call["operation"]]
        return [call for call in calls if operation in {"", call["operation"]}]

    def found(self, *, cluster: str = "alpha", state: str = "") -> dict[FindingSubject, Document]:
        """The hub's findings of a cluster by subject; no two have the same one."""
        findings = self.hub.findings(prefix=f"policyhub/{cluster}/", **({"record_state": state} if state else {}))
        found = {subject_of(finding): finding for finding in findings}
        assert len(found) == len(findings)
        return found

    def of(self, policy: str, *, cluster: str = "alpha") -> dict[str, Document]:
        """The findings of one policy, by the name of their object."""
        return {about[5]: finding for about, finding in self.found(cluster=cluster).items() if about[1] == policy}

    def states(self, policy: str, *, cluster: str = "alpha") -> dict[str, str]:
        """The record states of one policy's findings, by the name of their object."""
        return {name: finding["RecordState"] for name, finding in self.of(policy, cluster=cluster).items()}

    def await_states(self, policy: str, *, cluster: str = "alpha", **expected: str) -> None:
        """Wait until the policy's findings are exactly these."""
        self.until(
            lambda: self.states(policy, cluster=cluster) == expected,
            f"{policy} to be {expected}",
        )


def subject_of(finding: Document) -> FindingSubject:
    return violation_in(finding)


def outcomes(entries: Iterable[Document]) -> list[str]:
    return sorted(entry["outcome"] for entry in entries)


# -- objects of engines ----------------------------------------------------------------------------------------


def result(policy: str, *, rule: str = "check", result: str = "fail", **members: Any) -> Document:
    """One current result as Kyverno writes it."""
    stamp = {"seconds": int(time.time()), "nanos": 0}
    return {
        "source": "kyverno",
        "policy": policy,
        "rule": rule,
        "result": result,
        "severity": "medium",
        "message": f"{rule} of {policy} is not met",
        "scored": True,
        "timestamp": stamp,
        **members,
    }


def held(world: World, reason: str) -> float:
    """The number of unreported findings that are held for this reason."""
    return world.operator.metric("policyhub_archives_held", cluster="alpha", reason=reason)


def report(
    name: str, *results: Document, namespace: str = "shop", kind: str = "PolicyReport", version: str = ""
) -> Document:
    """A report about the Deployment of that name, or about the Namespace for a cluster-scoped kind."""
    scope = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": namespace, "name": name}
    metadata = {"name": f"report-{name}", "namespace": namespace}
    if kind.startswith("Cluster"):
        scope = {"apiVersion": "v1", "kind": "Namespace", "name": name}
        metadata.pop("namespace")
    default = "wgpolicyk8s.io/v1alpha2" if kind.endswith("PolicyReport") else "openreports.io/v1alpha1"
    return {
        "apiVersion": version or default,
        "kind": kind,
        "metadata": metadata,
        "scope": scope,
        "results": list(results),
    }


_audits = count(int(time.time()) - 100_000)


def constraint(
    name: str, *pods: str, total: int | None = None, kind: str = KINDS[0], namespace: str = "shop", audited: bool = True
) -> Document:
    """A constraint after one more audit that lists these Pods; `total` if it counts more."""
    stamp = datetime.fromtimestamp(next(_audits), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = [
        {
            "group": "",
            "version": "v1",
            "kind": "Pod",
            "namespace": namespace,
            "name": pod,
            "message": f"container of {pod} is not from the company registry",
            "enforcementAction": "deny",
        }
        for pod in sorted(pods, reverse=True)
    ]
    status: Document = {"totalViolations": len(pods) if total is None else total, "byPod": [{"id": f"audit-{stamp}"}]}
    if audited:
        status["auditTimestamp"] = stamp
    if listed:
        status["violations"] = listed
    return {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"enforcementAction": "deny"},
        "status": status,
    }
