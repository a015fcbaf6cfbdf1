"""The workloads of the simulated cluster, and what its users do with them.

Each object that engines scan has *flaws*, stored by uid: names of defects that policies
find. A controller's flaws are those of its Pod template; its Pods have them too, and those of an injected sidecar,
which no template shows. Pods are made and replaced as controllers do: a rollout makes the new ReplicaSet's Pods
first and takes the old ones away over minutes.
"""

import itertools
import random
from dataclasses import dataclass, field

from tests.simulation.kinds import (
    CONFIGMAP,
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    POD,
    REPLICASET,
    SERVICE,
    STATEFULSET,
    Document,
    Kind,
)
from tests.simulation.server import Server, Stored

Ref = tuple[Kind, str, str]
"""Kind, namespace, name."""
KEPT_REVISIONS = 3


@dataclass
class Workload:
    """A workload as its user intends it: a controller, or an object without Pods."""

    kind: Kind
    namespace: str
    name: str
    flaws: set[str] = field(default_factory=set)
    sidecar: set[str] = field(default_factory=set)
    replicas: int = 1
    revision: int = 0
    exists: bool = True

    @property
    def ref(self) -> Ref:
        return self.kind, self.namespace, self.name

    @property
    def spec(self) -> Document:
        """The spec fields that a user changes, so that the API server sees a change."""
        return {"replicas": self.replicas, "template": sorted(self.flaws)}


class Cluster:
    def __init__(self, server: Server, rng: random.Random) -> None:
        self.server = server
        self.rng = rng
        self.workloads: dict[Ref, Workload] = {}
        self.flaws: dict[str, frozenset[str]] = {}
        """By uid, of every object that exists or has existed."""
        self._names = itertools.count(1)

    # -- reading -------------------------------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        return sorted({w.namespace for w in self.workloads.values()})

    def there(self, *kinds: Kind) -> list[Workload]:
        """Workloads that exist, in a fixed order."""
        found = [w for w in self.workloads.values() if w.exists and (not kinds or w.kind in kinds)]
        return sorted(found, key=lambda w: (w.kind.name, w.namespace, w.name))

    # -- writing -------------------------------------------------------------------------------------------------------

    def namespace(self, name: str) -> None:
        self.server.put(NAMESPACE, name)

    def deploy(self, workload: Workload) -> None:
        """Create the workload, or update the existing one to match it."""
        self.workloads[workload.ref] = workload
        workload.exists = True
        stored = self.server.put(workload.kind, workload.name, workload.namespace, spec=workload.spec)
        if stored is None:
            workload.exists = False
            return
        self._mark(stored, workload.flaws)
        match workload.kind:
            case kind if kind == DEPLOYMENT:
                workload.revision += 1
                self._roll(workload, stored)
            case kind if kind in {STATEFULSET, DAEMONSET}:
                self._restart(workload, stored)
            case _:
                pass

    def change(self, workload: Workload, *, add: str = "", remove: str = "", sidecar: bool = False) -> None:
        """Edit the Pod template and roll out. A change of the injected sidecar reaches new Pods only."""
        flaws = workload.sidecar if sidecar else workload.flaws
        if add:
            flaws.add(add)
        flaws.discard(remove)
        if workload.exists:
            self.deploy(workload)

    def scale(self, workload: Workload, replicas: int) -> None:
        workload.replicas = replicas
        stored = self.server.put(workload.kind, workload.name, workload.namespace, spec=workload.spec)
        if stored is None:
            return
        owner = stored
        if workload.kind == DEPLOYMENT:
            found = self.server.get(REPLICASET, workload.namespace, self._replicaset(workload))
            if found is None:
                return
            owner = found
        pods = self._pods(owner)
        for pod in pods[replicas:]:
            self._later(1, 30, POD, pod)
        for number in range(len(pods), replicas):
            self._pod(workload, owner, number)

    def delete(self, workload: Workload) -> None:
        workload.exists = False
        self.server.delete(workload.kind, workload.namespace, workload.name)

    def recreate(self, workload: Workload, *, seconds: float) -> None:
        """Delete the workload, and create it again under the same name a while later."""
        self.delete(workload)
        workload.revision = 0
        self.server.loop.call_later(seconds, self._again, workload)

    def _again(self, workload: Workload) -> None:
        if not workload.exists and self.workloads.get(workload.ref) is workload:
            self.deploy(workload)

    def end_namespace(self, name: str) -> None:
        for workload in self.workloads.values():
            if workload.namespace == name:
                workload.exists = False
        self.server.end_namespace(name)

    def revive_namespace(self, name: str) -> None:
        if self.server.get(NAMESPACE, "", name) is None:
            self.namespace(name)
            for workload in list(self.workloads.values()):
                if workload.namespace == name:
                    workload.revision = 0
                    self.deploy(workload)

    def run_job(self, workload: Workload, *, seconds: float, keep: bool) -> None:
        """One run of a CronJob: its Job and its Pod, which ends. Both are deleted afterwards unless `kept`."""
        owner = self.server.get(CRONJOB, workload.namespace, workload.name)
        if owner is None:
            return
        name = f"{workload.name}-{next(self._names)}"
        job = self.server.put(JOB, name, workload.namespace, owner=reference(owner))
        if job is None:
            return
        self._mark(job, workload.flaws)
        pod = self.server.put(POD, f"{name}-x", workload.namespace, owner=reference(job), status={"phase": "Running"})
        if pod is not None:
            self._mark(pod, workload.flaws | workload.sidecar)
        loop = self.server.loop
        loop.call_later(seconds, self._end_pod, workload.namespace, f"{name}-x")
        if not keep:
            loop.call_later(seconds + 30, self.server.delete, JOB, workload.namespace, name)
        else:
            old = [j for j in self.server.all(JOB) if j["metadata"]["ownerReferences"][0]["uid"] == owner.uid]
            for document in old[:-KEPT_REVISIONS]:
                self._later(1, 10, JOB, document)

    def _end_pod(self, namespace: str, name: str) -> None:
        if self.server.get(POD, namespace, name) is not None:
            self.server.put(POD, name, namespace, status={"phase": "Succeeded"})

    # -- controllers ---------------------------------------------------------------------------------------------------

    def _replicaset(self, workload: Workload) -> str:
        return f"{workload.name}-r{workload.revision}"

    def _roll(self, workload: Workload, stored: Stored) -> None:
        revision = {"annotations": {"deployment.kubernetes.io/revision": str(workload.revision)}}
        replicaset = self.server.put(
            REPLICASET, self._replicaset(workload), workload.namespace, owner=reference(stored), metadata=revision
        )
        if replicaset is None:
            return
        self._mark(replicaset, workload.flaws)
        old = [
            rs
            for rs in self.server.all(REPLICASET)
            if rs["metadata"]["uid"] != replicaset.uid
            and any(o["uid"] == stored.uid for o in rs["metadata"].get("ownerReferences", ()))
        ]
        for number in range(workload.replicas):
            self._pod(workload, replicaset, number)
        for rs in old:
            for pod in self._pods_of(rs["metadata"]["uid"]):
                self._later(20, 240, POD, pod)
        old.sort(key=lambda rs: int(rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
        for rs in old[:-KEPT_REVISIONS]:
            self._later(250, 300, REPLICASET, rs)

    def _restart(self, workload: Workload, stored: Stored) -> None:
        """Replace one Pod after the other, under the same names."""
        there = {pod["metadata"]["name"] for pod in self._pods(stored)}
        for number in range(workload.replicas):
            name = f"{workload.name}-{number}"
            wait = 10 + 20 * number if name in there else 0
            if name in there:
                self.server.loop.call_later(wait, self.server.delete, POD, workload.namespace, name)
            self.server.loop.call_later(wait + 2, self._replace_pod, workload, stored.uid, number)

    def _replace_pod(self, workload: Workload, uid: str, number: int) -> None:
        owner = self.server.get(workload.kind, workload.namespace, workload.name)
        if owner is not None and owner.uid == uid and number < workload.replicas:
            self._pod(workload, owner, number)

    def _pod(self, workload: Workload, owner: Stored, number: int) -> None:
        stable = workload.kind in {STATEFULSET, DAEMONSET}
        base = owner.document["metadata"]["name"]
        name = f"{base}-{number}" if stable else f"{base}-{next(self._names)}"
        pod = self.server.put(POD, name, workload.namespace, owner=reference(owner), status={"phase": "Running"})
        if pod is not None:
            self._mark(pod, workload.flaws | workload.sidecar)

    def _pods(self, owner: Stored) -> list[Document]:
        return self._pods_of(owner.uid)

    def _pods_of(self, uid: str) -> list[Document]:
        return [
            p for p in self.server.all(POD) if any(o["uid"] == uid for o in p["metadata"].get("ownerReferences", ()))
        ]

    def _later(self, least: float, most: float, kind: Kind, document: Document) -> None:
        meta = document["metadata"]
        seconds = self.rng.uniform(least, most)
        self.server.loop.call_later(seconds, self._delete_uid, kind, meta["namespace"], meta["name"], meta["uid"])

    def _delete_uid(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        found = self.server.get(kind, namespace, name)
        if found is not None and found.uid == uid:
            self.server.delete(kind, namespace, name)

    def _mark(self, stored: Stored, flaws: set[str]) -> None:
        self.flaws[stored.uid] = frozenset(flaws)


def reference(owner: Stored) -> Document:
    document = owner.document
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "name": document["metadata"]["name"],
        "uid": owner.uid,
        "controller": True,
    }


__all__ = ["CONFIGMAP", "SERVICE", "Cluster", "Ref", "Workload", "reference"]
