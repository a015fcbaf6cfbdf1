"""What the driver's parts share: the cluster that they change, the truth about it, and what is still to be done.

All is written to the API server itself, never through the proxy. What is true is told with the time before the write:
nobody can have known of it earlier.
"""

import heapq
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from dev.cluster import ApiError, Cluster
from tests.faults import paper
from tests.faults.family import PASSING, Ref
from tests.faults.paper import Document, Result
from tests.faults.truth import STATUS, Call, Statement, Truth

Action = Callable[[], None]
Key = tuple[str, str, Ref]
"""Engine, kind of report, and the object that it is about."""


class Scene:
    def __init__(self, cluster: Cluster, *, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)  # noqa: S311  (repeatable)
        self.truth = Truth()
        self.results: dict[Key, Sequence[Result]] = {}
        """What each report says."""
        self.spaces: set[str] = set()
        self.turned = 0
        """How many Pods have come or gone."""
        self._due: list[tuple[int, int, Action]] = []
        self._numbers = count()
        self._step = 0

    # -- what is to be done later ---------------------------------------------------------------------------------

    def later(self, steps: int, action: Action) -> None:
        heapq.heappush(self._due, (self._step + steps, next(self._numbers), action))

    def tick(self) -> None:
        """One more step: what is due is done."""
        self._step += 1
        while self._due and self._due[0][0] <= self._step:
            heapq.heappop(self._due)[2]()

    def finish(self) -> None:
        """All of it, in order."""
        while self._due:
            self._step = max(self._step, self._due[0][0])
            heapq.heappop(self._due)[2]()

    # -- reports --------------------------------------------------------------------------------------------------

    def report(self, key: Key, results: Sequence[Result]) -> None:
        if key[2].namespace:
            self.open(key[2].namespace)
        self.report_all({key: results})

    def report_all(self, said: Mapping[Key, Sequence[Result]]) -> None:
        """Many at once, in namespaces that are open."""
        now = time.time()
        self.cluster.apply([self._paper(key, results) for key, results in said.items()])
        for key, results in said.items():
            self.results[key] = results
            self.truth.say(key, _statement(key, results), now=now)

    def withdraw(self, key: Key) -> None:
        """The report is deleted, if there is one."""
        if key in self.results:
            now = time.time()
            self.delete(self.cluster.path(self._paper(key, self.results.pop(key))))
            self.truth.say(key, None, now=now)

    def _paper(self, key: Key, results: Sequence[Result]) -> Document:
        stamp = {"seconds": int(time.time()), "nanos": self.rng.randrange(10**9)}
        return paper.report(key[2], results, source=key[0], kind=key[1], stamp=stamp)

    # -- objects --------------------------------------------------------------------------------------------------

    def create(self, ref: Ref, *, owner: Ref | None = None, uid: str = "", revision: int = 0) -> str:
        """Its uid."""
        document, now = paper.thing(ref, owner=owner, uid=uid, revision=revision), time.time()
        path = self.cluster.path(document).rpartition("/")[0]
        stored = self.cluster.request("POST", path, document)
        if ref.kind in PASSING:
            self.turned += ref.kind == "Pod"
            self.truth.put({"kind": ref.kind, **stored}, now=now)
        return str(stored["metadata"]["uid"])

    def end(self, pod: Ref) -> None:
        """As the kubelet writes it when the last container of a Job has ended."""
        now = time.time()
        path = self.cluster.path(paper.thing(pod))
        stored = self.cluster.request("PATCH", f"{path}/status", {"status": {"phase": "Succeeded"}})
        self.turned += 1
        self.truth.put({"kind": "Pod", **stored}, now=now)

    def remove(self, ref: Ref) -> None:
        now = time.time()
        self.delete(self.cluster.path(paper.thing(ref)))
        if ref.kind in PASSING:
            self.turned += ref.kind == "Pod"
            self.truth.drop(ref, now=now)

    def delete(self, path: str) -> None:
        """Whatever lies there, if it does."""
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
        """As the namespace controller does it: Terminating, its contents go, then the last finalizer."""
        path = f"/api/v1/namespaces/{space}"
        closing, now = self.cluster.request("DELETE", path), time.time()
        self.spaces.discard(space)
        self.empty(space)
        for key in [key for key in self.results if key[2].namespace == space]:
            del self.results[key]
            self.truth.say(key, None, now=now)
        self.truth.drop(*[ref for ref in self.truth.family.things if ref.namespace == space], now=now)
        self.cluster.request("PUT", f"{path}/finalize", {**closing, "spec": {"finalizers": []}})

    def empty(self, space: str) -> None:
        for path in paper.COLLECTIONS:
            self.delete(path.format(space))


def _statement(key: Key, results: Iterable[Result]) -> Statement:
    engine, _, about = key
    said = list(results)
    return Statement(
        calls=frozenset(Call(engine, r.policy, r.rule, about) for r in said if r.outcome in STATUS),
        by=engine,
        about=about,
        spoke=frozenset({(engine, about)} if said and about.kind in PASSING else ()),
    )
