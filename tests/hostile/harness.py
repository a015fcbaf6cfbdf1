"""The test harness of the hostile suite: two clusters that one operator watches, a company in each, the hub, and a
malicious tenant with one namespace.
"""

import base64
import contextlib
import copy
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dev import crds, testbed
from dev.cluster import Cluster, ControlPlane
from dev.hub.process import HubProcess
from dev.testbed import NAMESPACE, Operator
from tests.faults import manifests
from tests.faults.checker import about
from tests.faults.truth import Violation
from tests.hostile import tenant
from tests.hostile.checker import TENANT, compare
from tests.hostile.company import KIND, Company
from tests.hostile.observer import EVENTS
from tests.hostile.tenant import Tenant
from tests.integration.operator.world import CLUSTERS, SECONDS, World

Document = dict[str, Any]

HOME, SECOND, EVIL = "alpha", "beta", "gamma"
"""The clusters of two companies, and the cluster of an attacker who may write kubeconfig Secrets."""
SPACES = {HOME: ("shop", "bank", "office"), SECOND: ("depot",)}
SIZE = {HOME: 14, SECOND: 8}
PACE = {HOME: 5.0, SECOND: 1.5}
"""Changes a second."""
DELAY = "2s"
SETTINGS: dict[str, Any] = {"POLICYHUB_DISCOVERY_INTERVAL": "0.5", "POLICYHUB_RELIST_INTERVAL": "30"}
OURS = f'"Namespace":"{TENANT}"'
"""Part of the JSON of the tenant's findings only: inside a text the quotes would be escaped."""
TENANTS = (*manifests.COLLECTIONS, "/api/v1/namespaces/{}/configmaps", "/api/v1/namespaces/{}/events", *tenant.POLICIES)
ENGINES = [*crds.report_apis(), *crds.policies(), crds.constraint(KIND)]
GUESTS = frozenset({"attic", "team"})
"""Namespaces of single scenarios, which check the findings there themselves."""
TRIAGED = 6
POLL_SECONDS = 0.5


class Harness:
    def __init__(self, plane: ControlPlane, world: World, second: Cluster, folder: Path, beta: Document) -> None:
        self.plane = plane
        self.world = world
        self.folder = folder
        self.tenant = Tenant.admitted(world.cluster)
        self.kills: list[float] = []
        self.killed: list[Operator] = []
        """Operators that were killed on purpose."""
        self._beta = beta
        self.companies = {
            name: Company(cluster, spaces=SPACES[name], size=SIZE[name], seed=1, gatekeeper=name == HOME)
            for name, cluster in ((HOME, world.cluster), (SECOND, second))
        }

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["Harness"]:
        secrets = [{"namespace": NAMESPACE, "name": name} for name in (SECOND, EVIL)]
        with ControlPlane.start(progress=print) as plane, HubProcess.start() as hub:
            home, second = plane.cluster("home"), plane.cluster("second")
            installed = testbed.install(home, folder, values={"clusterName": HOME, "kubeconfigSecrets": secrets})
            beta = testbed.install(second, folder, values={"clusterName": SECOND})
            for cluster in (home, second):
                cluster.apply(ENGINES)
            config = second.kubeconfig_for(namespace=NAMESPACE, service_account=beta.service_account, seconds=24 * 3600)
            harness = cls(plane, World(installed, hub), second, folder, config)
            for name, company in harness.companies.items():
                company.begin()
                testbed.until(company.readable, seconds=SECONDS, what=f"the API server of {name} to show it")
            try:
                yield harness
            finally:
                harness.world.end()

    @property
    def hub(self) -> HubProcess:
        return self.world.hub

    # -- the operator ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new operator, and an empty Security Hub."""
        self.close()
        self.hub.reset()
        self.hub.quotas(on=True)
        self.kills.clear()
        self.killed.clear()
        for company in self.companies.values():
            company.forget_history()
        self.watch(HOME)
        self.secret(SECOND, json.dumps(self._beta).encode())
        self.watch(SECOND)
        self.start()

    def start(self) -> None:
        self.world.start(**SETTINGS)

    def kill(self) -> None:
        self.kills.append(time.time())
        self.killed.append(self.world.operator)
        self.world.operator.kill()

    def close(self) -> None:
        """Remove all operators, the tenant's objects and all MonitoredClusters."""
        for operator in self.world.operators:
            if operator.pid is not None:
                operator.kill()
        self.world.end()
        self.clear_tenant()
        self.world.cluster.request("DELETE", EVENTS)
        for item in self.world.cluster.request("GET", CLUSTERS)["items"]:
            self.world.cluster.request("DELETE", f"{CLUSTERS}/{item['metadata']['name']}")

    def clear_tenant(self) -> None:
        """Delete all objects in the tenant's namespace; as admin, which takes one request per kind."""
        for path in TENANTS:
            with contextlib.suppress(
                RecursionError
            ):  # the answer contains the deleted objects with their full nesting depth
                self.world.cluster.request(
                    "DELETE", path.format(TENANT), gracePeriodSeconds=0, propagationPolicy="Background", timeout=60
                )

    # -- MonitoredClusters --------------------------------------------------------------------------------------------

    def guest(self, space: str, document: Document) -> None:
        """Write a report of the company's engine in a namespace of one scenario."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
        document["metadata"]["namespace"] = space
        for entry in document["results"]:
            for place in entry["resources"]:
                place["namespace"] = space
            entry["message"] = "the engine's own text"
        self.world.cluster.apply([namespace, document])

    def leave(self, space: str) -> None:
        """Delete the reports in this namespace."""
        path = f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/{space}/policyreports"
        self.world.cluster.request("DELETE", path, propagationPolicy="Background")

    def watch(self, name: str, **spec: Any) -> None:
        """Create a MonitoredCluster; all but the home cluster's use the kubeconfig Secret of the same name."""
        document = copy.deepcopy(next(d for d in self.world.installed.documents if d["kind"] == "MonitoredCluster"))
        document["metadata"]["name"] = name
        document["spec"] |= {"archiveDelay": DELAY, "rollUp": True, **spec}
        if name != HOME:
            document["spec"]["connection"] = {"kubeconfigSecretRef": {"namespace": NAMESPACE, "name": name}}
        self.world.cluster.apply([document])

    def secret(self, name: str, kubeconfig: bytes) -> None:
        data = {"kubeconfig": base64.b64encode(kubeconfig).decode()}
        metadata = {"name": name, "namespace": NAMESPACE}
        self.world.cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}])

    # -- Security Hub -------------------------------------------------------------------------------------------------

    def findings(self, name: str) -> list[Document]:
        """A cluster's findings, without those of the tenant's namespace and of single scenarios."""
        found = self.hub.findings(prefix=f"policyhub/{name}/", without=OURS)
        others = [(f, about(f)) for f in found]
        return [f for f, v in others if v.namespace not in GUESTS and (v.kind, v.name) != ("Namespace", TENANT)]

    def active(self, policy: str) -> list[Document]:
        """The active findings of a policy in the home cluster, in any namespace."""
        findings = self.hub.findings(prefix=f"policyhub/{HOME}/", record_state="ACTIVE")
        return [f for f in findings if f["ProductFields"].get("policyhub/policy") == policy]

    def tenants(self, number: int) -> list[Document]:
        """Some of the tenant's findings."""
        found = self.hub.findings(prefix=f"policyhub/{HOME}/")
        return [f for f in found if f["Resources"][0]["Details"]["Other"].get("Namespace") == TENANT][:number]

    def exact(self, name: str) -> bool:
        return compare(self.findings(name), self.companies[name].read_state()).good

    def wait_until_exact(self, *, seconds: float) -> float | None:
        """Wait until Security Hub has exactly the companies' violations, while their engines keep scanning. Returns the
        seconds, or None after the timeout.
        """
        started = time.monotonic()
        rested = 0.0
        while time.monotonic() - started < seconds:
            if time.monotonic() - rested > 2:
                for company in self.companies.values():
                    company.rescan()
                rested = time.monotonic()
            if all(self.exact(name) for name in self.companies):
                return time.monotonic() - started
            time.sleep(POLL_SECONDS)  # other processes, polled over HTTP
        return None

    def triage(self) -> dict[str, dict[str, Document]]:
        """An analyst updates some findings of each company. Returns the expected values by cluster and finding id."""
        worked: dict[str, dict[str, Document]] = {}
        for name, company in self.companies.items():
            ids = sorted(f["Id"] for f in self.findings(name) if about(f) in company.permanent)[:TRIAGED]
            self.hub.analyst(ids, workflow="SUPPRESSED", note="ours to keep")
            worked[name] = {id_: {"Workflow": "SUPPRESSED", "Note": "ours to keep"} for id_ in ids}
        return worked


class Workday:
    """The companies make changes while `with Workday(harness):` runs. One thread for each company, and one that follows
    Security Hub's journal.
    """

    def __init__(self, harness: Harness) -> None:
        self.journal: list[Document] = []
        self._harness = harness
        self._done = threading.Event()
        self._ids: dict[Violation, str] = {}
        self._last: dict[str, tuple[str, float]] = {}
        self._seq = harness.hub.journal()[-1]["seq"] if harness.hub.journal() else 0
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._follow, daemon=True)] + [
            threading.Thread(target=self._work, args=(name,), daemon=True) for name in harness.companies
        ]

    def __enter__(self) -> Self:
        self._identify()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(60)
        if self._errors and error is None:
            raise self._errors[0]

    def catch_up(self) -> None:
        """Read the journal to its end."""
        for entry in self._harness.hub.journal(self._seq):
            self._seq = entry["seq"]
            self.journal.append(entry)
            if entry["kind"] == "import" and entry["outcome"] not in {"failed", "lost"}:
                self._last[entry["id"]] = (entry["outcome"], entry["time"])

    def _follow(self) -> None:
        while not self._done.is_set():
            self.catch_up()
            self._identify()
            self._done.wait(POLL_SECONDS)

    def _identify(self) -> None:
        for name in self._harness.companies:
            self._ids |= {about(finding): finding["Id"] for finding in self._harness.findings(name)}

    def _work(self, name: str) -> None:
        company = self._harness.companies[name]
        last: dict[Violation, float] = {}
        read = 0

        def caught_up(violation: Violation) -> bool:
            nonlocal read
            for write in company.writes[read:]:
                last[write.violation] = write.at
            read = len(company.writes)
            id_ = self._ids.get(violation, "")
            since = last.get(violation)
            return bool(id_) and (since is None or self._last.get(id_, ("", 0.0))[1] >= since)

        try:
            while not self._done.is_set():
                company.step(caught_up)
                self._done.wait(1 / PACE[name])
        except BaseException as error:  # noqa: BLE001  (raised again by who waits for the day's end)
            self._errors.append(error)
