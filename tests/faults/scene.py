"""The state that the driver's parts share: the cluster that they change, the truth about it, and the pending actions.

Writes go to the API server directly, never through the proxy. The truth is recorded with the time before the write,
because nobody can know of a change earlier.
"""

import heapq
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from dev.cluster import ApiError, Cluster
from tests.faults import manifests
from tests.faults.manifests import Document, Result
from tests.faults.owner_graph import EPHEMERAL, Ref
from tests.faults.truth import STATUS, Claim, Statement, Truth

Action = Callable[[], None]
Key = tuple[str, str, Ref]
"""Engine, kind of report, and the object that it is about."""


class Scene:
    def __init__(self, cluster: Cluster, *, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)  # noqa: S311  (repeatable)
        self.truth = Truth()
        self.results: dict[Key, Sequence[Result]] = {}
        """The results of each report."""
        self.spaces: set[str] = set()
        self.pod_changes = 0
        """How many Pods were created or deleted."""
        self._due: list[tuple[int, int, Action]] = []
        self._numbers = count()
        self._step = 0

    # -- pending actions ----------------------------------------------------------------------------------------------

    def later(self, steps: int, action: Action) -> None:
        heapq.heappush(self._due, (self._step + steps, next(self._numbers), action))

    def tick(self) -> None:
        """One step: run the actions that are due."""
        self._step += 1
        while self._due and self._due[0][0] <= self._step:
            heapq.heappop(self._due)[2]()

    def finish(self) -> None:
        """Run all pending actions in order."""
        while self._due:
            self._step = max(self._step, self._due[0][0])
            heapq.heappop(self._due)[2]()

    # -- reports --------------------------------------------------------------------------------------------------

    def report(self, key: Key, results: Sequence[Result]) -> None:
        if key[2].namespace:
            self.open(key[2].namespace)
        self.report_all({key: results})

    def report_all(self, reports: Mapping[Key, Sequence[Result]]) -> None:
        """Write many reports at once, in existing namespaces."""
        now = time.time()
        self.cluster.apply([self._report_document(key, results) for key, results in reports.items()])
        for key, results in reports.items():
            self.results[key] = results
            self.truth.record(key, _statement(key, results), now=now)

    def withdraw(self, key: Key) -> None:
        """Delete the report, if it exists."""
        if key in self.results:
            now = time.time()
            self.delete(self.cluster.path(self._report_document(key, self.results.pop(key))))
            self.truth.record(key, None, now=now)

    def _report_document(self, key: Key, results: Sequence[Result]) -> Document:
        stamp = {"seconds": int(time.time()), "nanos": self.rng.randrange(10**9)}
        return manifests.report(key[2], results, source=key[0], kind=key[1], stamp=stamp)

    # -- objects --------------------------------------------------------------------------------------------------

    def create(self, ref: Ref, *, owner: Ref | None = None, uid: str = "", revision: int = 0) -> str:
        """Returns the uid."""
        document, now = manifests.workload(ref, owner=owner, uid=uid, revision=revision), time.time()
        path = self.cluster.path(document).rpartition("/")[0]
        stored = self.cluster.request("POST", path, document)
        if ref.kind in EPHEMERAL:
            self.pod_changes += ref.kind == "Pod"
            self.truth.put({"kind": ref.kind, **stored}, now=now)
        return str(stored["metadata"]["uid"])

    def end(self, pod: Ref) -> None:
        """End a Pod as the kubelet does when the last container of a Job has ended."""
        now = time.time()
        path = self.cluster.path(manifests.workload(pod))
        stored = self.cluster.request("PATCH", f"{path}/status", {"status": {"phase": "Succeeded"}})
        self.pod_changes += 1
        self.truth.put({"kind": "Pod", **stored}, now=now)

    def remove(self, ref: Ref) -> None:
        now = time.time()
        self.delete(self.cluster.path(manifests.workload(ref)))
        if ref.kind in EPHEMERAL:
            self.pod_changes += ref.kind == "Pod"
            self.truth.drop(ref, now=now)

    def delete(self, path: str) -> None:
        """Delete the objects at this path, if any."""
        try:
            self.cluster.request("DELETE", path, gracePeriodSeconds=0, propagationPolicy="Background")
        except ApiError as error:
            if error.status != 404:
                raise

    # -- namespaces -----------------------------------------------------------------------------------------------

    def open(self, space: str) -> None:
        if space not in self.spaces:
            self.cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}])
            self.spaces.add(space)

    def close(self, space: str) -> None:
        """Delete a namespace as the namespace controller does: Terminating, then its contents, then the last
        finalizer.
        """
        path = f"/api/v1/namespaces/{space}"
        closing, now = self.cluster.request("DELETE", path), time.time()
        self.spaces.discard(space)
        self.empty(space)
        for key in [key for key in self.results if key[2].namespace == space]:
            del self.results[key]
            self.truth.record(key, None, now=now)
        self.truth.drop(*[ref for ref in self.truth.owner_graph.objects if ref.namespace == space], now=now)
        self.cluster.request("PUT", f"{path}/finalize", {**closing, "spec": {"finalizers": []}})

    def empty(self, space: str) -> None:
        for path in manifests.COLLECTIONS:
            self.delete(path.format(space))


def _statement(key: Key, results: Iterable[Result]) -> Statement:
    engine, _, about = key
    reports = list(results)
    return Statement(
        claims=frozenset(Claim(engine, r.policy, r.rule, about) for r in reports if r.outcome in STATUS),
        by=engine,
        about=about,
        scanned=frozenset({(engine, about)} if reports and about.kind in EPHEMERAL else ()),
    )
