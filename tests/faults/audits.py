"""Gatekeeper's audit: three constraints, two of one kind, that list Pods of workloads.

An audit takes a while: it lists the Pods that existed when it started, so that some of them are deleted when it is
written, and newer Pods are missing.
"""

import time
from functools import partial

from tests.faults import manifests
from tests.faults.manifests import Document
from tests.faults.owner_graph import Ref
from tests.faults.scene import Scene
from tests.faults.truth import GATEKEEPER, Claim, Statement, Unlisted
from tests.faults.workload_model import FIRST, Workload
from tests.faults.workloads import Workloads

RULES = (("repos", "K8sAllowedRepos"), ("repos-strict", "K8sAllowedRepos"), ("labels", "K8sRequiredLabels"))
"""Name and kind of each constraint."""
DROPPED = "labels"
"""The constraint that is sometimes deleted."""
LIMIT, ALL = 8, 500
LONG = 100
"""Steps of an audit that takes longer than a rollout."""
LIMITS = (LIMIT, LIMIT, LIMIT, 3, ALL)


class Audits:
    def __init__(self, scene: Scene, workloads: Workloads) -> None:
        self._scene = scene
        self._rng = scene.rng
        self._workloads = workloads
        self._violating: dict[str, set[Workload]] = {}
        self._cut: dict[tuple[str, str], tuple[str, str] | None] = {}
        self._written: dict[str, Document] = {}
        self._began: dict[str, int] = {}
        """Start of the last audit of each constraint, in Unix seconds: at most one audit per second."""
        self._running: dict[str, int] = {}
        self._limits = {name: self._rng.choice((3, LIMIT, ALL)) for name, _ in RULES}
        """The length limit of each list in the last audits of a run."""

    def unlisted(self, *, restarted: bool) -> Unlisted:
        """What the constraints' last lists leave undecided."""
        return Unlisted(self._cut, self._scene.truth.owner_graph, restarted)

    def begin(self) -> None:
        for name, _ in RULES:
            self._violating[name] = set(self._rng.sample(self._workloads.all, 8))
            self._start(name, limit=ALL, steps=0)
        self._scene.finish()

    def again(self) -> None:
        name, _ = self._rng.choice(RULES)
        self._violating[name] ^= set(self._rng.sample(self._workloads.all, self._rng.choice((0, 0, 1, 1, 2, 3))))
        self._start(name, limit=self._rng.choice(LIMITS), steps=self._rng.choice((0, 10, 40)))

    def rest(self) -> None:
        """Two more complete audits of each constraint: a missing entry counts from the second on. Some lists stay
        truncated.
        """
        for _ in range(2):
            for name, _ in RULES:
                self._await(name)
                self._start(name, limit=self._limits[name], steps=0)
            self._scene.finish()

    def overtaken(self) -> None:
        """Start one more audit of each constraint; it is written after all running rollouts."""
        for name, _ in RULES:
            self._await(name)
            self._start(name, limit=ALL, steps=LONG)

    def _await(self, name: str) -> None:
        while int(time.time()) <= self._began[name]:
            time.sleep(0.05)  # until the next second: the audit timestamp must differ from the last one

    def rewrite_unchanged(self) -> None:
        """Write the last audit again unchanged, as an enforcement point with an error does."""
        name, _ = self._rng.choice(RULES)
        if name in self._written:
            document = self._written[name]
            document["status"]["byPod"] = [{"id": f"audit-{self._rng.random()}"}]
            self._scene.cluster.apply([document])

    def drop(self) -> None:
        self._running.pop(DROPPED, None)
        if self._written.pop(DROPPED, None) is not None:
            now = time.time()
            self._delete(DROPPED)
            key = dict(RULES)[DROPPED], DROPPED
            self._cut.pop(key, None)
            self._scene.truth.record(key, None, now=now)

    def clear(self) -> None:
        for name, _ in RULES:
            self._delete(name)

    def _delete(self, name: str) -> None:
        document = manifests.constraint(name, (), total=0, kind=dict(RULES)[name], audited=0)
        self._scene.delete(self._scene.cluster.path(document))

    def _start(self, name: str, *, limit: int, steps: int) -> None:
        now = int(time.time())
        if name in self._running or now <= self._began.get(name, 0):
            return
        self._running[name] = self._began[name] = now
        found = {w for w in self._workloads.all if w in self._violating[name] or w.about.name.startswith(FIRST)}
        owner_graph = self._scene.truth.owner_graph.objects
        pods = sorted(pod for workload in found for pod in workload.pods if pod in owner_graph)
        self._scene.later(steps, partial(self._write, name, pods, limit=limit, began=now))

    def _write(self, name: str, pods: list[Ref], *, limit: int, began: int) -> None:
        if self._running.get(name) != began:
            return
        del self._running[name]
        kind = dict(RULES)[name]
        listed = pods[:limit]
        document = manifests.constraint(name, listed, total=len(pods), kind=kind, audited=began)
        now = time.time()
        self._scene.cluster.apply([document])
        self._written[name] = document
        self._cut.pop((kind, name), None)
        if len(pods) > limit:
            self._cut[kind, name] = listed[-1][1:]
        # the notice of a truncated list is about the constraint itself
        about = [*pods, Ref(kind, "", name)] if len(pods) > limit else pods
        claims = frozenset(Claim(GATEKEEPER, kind, name, ref) for ref in about)
        self._scene.truth.record((kind, name), Statement(claims, audited=began), now=now)
