"""Changes a cluster at random, from a seed, and keeps the truth about it: when each violation existed.

It writes to the API server itself, never through the proxy, and knows nothing of the operator.

| change | what |
|---|---|
| rewrite | an engine looks at an object again: other results, messages, severities |
| touch | the same with new timestamps and nothing else |
| remove, vanish | one report goes; an object goes, with all reports about it, and another takes its place |
| audit | Gatekeeper finds a few things changed; by one limit or another |
| standing | a constraint is written again with the same audit |
| drop | a constraint goes |
| close | a namespace goes, with all that is in it |
| judge | an analyst works on a finding |
"""

import random
import time
from collections import defaultdict
from typing import Any

from dev.cluster import ApiError, Cluster
from dev.hub.process import HubProcess
from tests.faults import paper
from tests.faults.paper import Document, Object, Pod, Result
from tests.faults.truth import STATUS, Open, Truth, Violation

ENGINES = {
    "one": ("PolicyReport",),
    "two": ("Report",),
    "both": ("PolicyReport", "Report"),
}
"""Engines, and the kinds of report that each writes about every object (of a cluster-scoped one: Cluster…)."""
POLICIES = (("alpha", "check"), ("alpha", "limit"), ("beta", "check"))
OBJECTS = 40
CLUSTER_OBJECTS = 6
STILL = 10
"""More objects of each engine whose violations never end: they are rewritten with new timestamps, and nothing else."""
SPACES = ("north", "south", "west")
CLOSING = "west"
"""The namespace that is deleted now and then."""
RULES = (("repos", "K8sAllowedRepos"), ("repos-strict", "K8sAllowedRepos"), ("labels", "K8sRequiredLabels"))
"""Constraints: name and kind."""
DROPPED = "labels"
"""The one that is deleted now and then."""
PODS = tuple(Pod(space, f"pod-{number:02}") for space in ("north", CLOSING) for number in range(12))
STILL_PODS = PODS[:2]
"""Each audit finds them: they come first in Gatekeeper's order, so they are in each shortened list."""
LIMIT = 8
LIMITS = (LIMIT, LIMIT, LIMIT, 3, len(PODS))

Key = tuple[str, str, Object]
"""Engine, kind of report, and the object that it is about."""


class Driver:
    def __init__(self, cluster: Cluster, hub: HubProcess, *, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311  (repeatable)
        self.events = 0
        self.truth = Truth()
        self.still: set[Violation] = set()
        """Violations that never end."""
        self.triage: dict[str, list[Document]] = defaultdict(list)
        """By finding id: what the analyst did, one after the other, as BatchUpdateFindings takes it."""
        self._cluster = cluster
        self._hub = hub
        self._results: dict[Key, list[Result]] = {}
        self._objects: dict[str, list[Object]] = {}
        self._fixed: dict[str, list[Object]] = {}
        self._pods: dict[str, set[Pod]] = {}
        self._shown: dict[str, int] = {}
        self._written: dict[str, Document] = {}
        self._spaces: set[str] = set()
        self._limits = {name: self.rng.choice((3, LIMIT, len(PODS))) for name, _ in RULES}
        self._next = 0

    def unlisted(self) -> Open:
        """Constraints that do not list all, as they were written last."""
        unlisted: Open = {}
        for name, kind in RULES:
            pods, shown = self._pods.get(name, set()), self._shown.get(name, 0)
            if len(pods) > shown:
                last = sorted(pods)[:shown][-1:]
                unlisted[kind, name] = (last[0].namespace, last[0].name) if shown > 1 else None
        return unlisted

    # -- the course of a run --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Every object has its reports, every constraint its list."""
        for engine in ENGINES:
            spaces = [SPACES[number % len(SPACES)] for number in range(OBJECTS)] + [""] * CLUSTER_OBJECTS
            self._objects[engine] = [self._object(space) for space in spaces]
            self._fixed[engine] = [Object(("north", "south", "")[n % 3], f"still-{n}") for n in range(STILL)]
        documents: list[Document] = []
        for engine in ENGINES:
            for about in (*self._objects[engine], *self._fixed[engine]):
                for kind in self._kinds(engine, about):
                    fixed = about in self._fixed[engine]
                    results = [Result(*policy) for policy in POLICIES] if fixed else self._draw()
                    documents.append(self._report((engine, kind, about), results))
        for space in SPACES:
            self._open(space)
        now = time.time()
        self._cluster.apply(documents)
        for key in self._results:
            self._tell(key, now=now)
        for name, _ in RULES:
            self._audit(name, set(self.rng.sample(PODS, 6)), limit=LIMIT)
        self.still = {
            violation
            for violation in self.truth.violations()
            if violation.name.startswith("still-") or (violation[4:] in STILL_PODS and violation.rule != DROPPED)
        }

    def run(self, *, seconds: float, changes: int, pace: float) -> None:
        """About `pace` changes a second, for this long and until there were so many."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.events < changes:
            self.step()
            time.sleep(self.rng.uniform(0.5, 1.5) / pace)  # the pace is what is driven here, nothing is waited for

    def step(self) -> None:
        """One change."""
        self.events += 1
        changes = {
            self._rewrite: 44.0, self._touch: 18.0, self._remove: 4.0, self._vanish: 5.0, self._again: 14.0,
            self._standing: 6.0, self._drop: 0.7, self._close: 0.7, self._judge: 7.0,
        }  # fmt: skip
        self.rng.choices(list(changes), weights=list(changes.values()))[0]()

    def rest(self) -> None:
        """One more audit of each constraint that finds what the last one found; some lists stay shortened."""
        for name, _ in RULES:
            self._audit(name, self._pods.get(name, set()), limit=self._limits[name])

    def clear(self) -> None:
        """Nothing of it is left in the cluster."""
        for kind in ("PolicyReport", "Report"):
            for space in SPACES if self._spaces else ():
                self._cluster.request("DELETE", paper.collection(kind, namespace=space))
            self._cluster.request("DELETE", paper.collection(f"Cluster{kind}"))
        for name, kind in RULES:
            self._delete(paper.constraint(name, (), total=0, kind=kind))

    # -- reports --------------------------------------------------------------------------------------------------

    def _object(self, space: str) -> Object:
        self._next += 1
        return Object(space, f"web-{self._next}")

    @staticmethod
    def _kinds(engine: str, about: Object) -> list[str]:
        return [kind if about.namespace else f"Cluster{kind}" for kind in ENGINES[engine]]

    def _draw(self) -> list[Result]:
        words = ("fail", "fail", "fail", "warn", "error", "pass", "pass", "skip", "")
        drawn = [
            Result(*policy, self.rng.choice(words), self.rng.choice(("low", "medium", "high")), self.rng.randrange(3))
            for policy in POLICIES
        ]
        return [result for result in drawn if result.outcome]

    def _pick(self) -> Key:
        engine = self.rng.choice(list(ENGINES))
        about = self.rng.choice(self._objects[engine])
        return engine, self.rng.choice(self._kinds(engine, about)), about

    def _rewrite(self) -> None:
        self._write(self._pick(), self._draw())

    def _touch(self) -> None:
        key = self._pick()
        if self.rng.random() < 0.5:
            about = self.rng.choice(self._fixed[key[0]])
            key = key[0], self.rng.choice(self._kinds(key[0], about)), about
        if key in self._results:
            self._write(key, self._results[key])

    def _remove(self) -> None:
        key = self._pick()
        if key in self._results:
            self._withdraw(key)

    def _vanish(self) -> None:
        engine, _, about = self._pick()
        for kind in self._kinds(engine, about):
            if (engine, kind, about) in self._results:
                self._withdraw((engine, kind, about))
        place = self._objects[engine].index(about)
        self._objects[engine][place] = self._object(about.namespace)
        for kind in self._kinds(engine, self._objects[engine][place]):
            self._write((engine, kind, self._objects[engine][place]), self._draw())

    def _write(self, key: Key, results: list[Result]) -> None:
        if key[2].namespace:
            self._open(key[2].namespace)
        document, now = self._report(key, results), time.time()
        self._cluster.apply([document])
        self._tell(key, now=now)

    def _withdraw(self, key: Key) -> None:
        now = time.time()
        self._delete(self._report(key, self._results[key]))
        del self._results[key]
        self._tell(key, now=now)

    def _report(self, key: Key, results: list[Result]) -> Document:
        self._results[key] = results
        stamp = {"seconds": int(time.time()), "nanos": self.rng.randrange(10**9)}
        return paper.report(key[2], results, source=key[0], kind=key[1], stamp=stamp)

    def _tell(self, key: Key, *, now: float) -> None:
        engine, _, about = key
        wrong = [result for result in self._results.get(key, ()) if result.outcome in STATUS]
        self.truth.say(
            key, (Violation(engine, result.policy, result.rule, about.kind, *about) for result in wrong), now=now
        )

    # -- constraints ----------------------------------------------------------------------------------------------

    def _again(self) -> None:
        name, _ = self.rng.choice(RULES)
        changed = set(self.rng.sample(PODS, self.rng.choice((0, 0, 1, 1, 2, 3))))
        self._audit(name, self._pods.get(name, set()) ^ changed, limit=self.rng.choice(LIMITS))

    def _audit(self, name: str, pods: set[Pod], *, limit: int) -> None:
        kind = dict(RULES)[name]
        pods = {pod for pod in pods if pod.namespace in self._spaces} | set(STILL_PODS)
        document, now = paper.constraint(name, sorted(pods)[:limit], total=len(pods), kind=kind), time.time()
        self._cluster.apply([document])
        self._pods[name], self._shown[name], self._written[name] = pods, min(limit, len(pods)), document
        self.truth.say(name, (Violation("gatekeeper", kind, name, "Pod", *pod) for pod in pods), now=now)

    def _standing(self) -> None:
        """As an enforcement point that errs does."""
        name, _ = self.rng.choice(RULES)
        if name in self._written:
            document = self._written[name]
            document["status"]["byPod"] = [{"id": f"audit-{self.rng.random()}"}]
            self._cluster.apply([document])

    def _drop(self) -> None:
        if DROPPED in self._written:
            now = time.time()
            self._delete(paper.constraint(DROPPED, (), total=0, kind=dict(RULES)[DROPPED]))
            del self._pods[DROPPED], self._shown[DROPPED], self._written[DROPPED]
            self.truth.say(DROPPED, (), now=now)

    # -- namespaces -----------------------------------------------------------------------------------------------

    def _open(self, space: str) -> None:
        if space not in self._spaces:
            self._cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}])
            self._spaces.add(space)

    def _close(self) -> None:
        """As the namespace controller does it: Terminating, its contents go, then the last finalizer."""
        if CLOSING not in self._spaces:
            return
        path = f"/api/v1/namespaces/{CLOSING}"
        closing, now = self._cluster.request("DELETE", path), time.time()
        self._spaces.discard(CLOSING)
        for kind in ("PolicyReport", "Report"):
            self._cluster.request("DELETE", paper.collection(kind, namespace=CLOSING))
        for key in [key for key in self._results if key[2].namespace == CLOSING]:
            del self._results[key]
            self._tell(key, now=now)
        for name, _ in RULES:
            if name in self._pods:
                self._audit(name, self._pods[name], limit=LIMIT)
        self._cluster.request("PUT", f"{path}/finalize", {**closing, "spec": {"finalizers": []}})

    # -- the analyst ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        active = self._hub.findings(record_state="ACTIVE")
        if not active:
            return
        finding = self.rng.choice(active)
        known: dict[str, Any] = {
            "Workflow": {"Status": self.rng.choice(("NEW", "NOTIFIED", "SUPPRESSED", "RESOLVED"))},
            "Note": {"Text": f"note {self.events}", "UpdatedBy": "analyst"},
            "Severity": {"Label": self.rng.choice(("INFORMATIONAL", "LOW", "CRITICAL"))},
            "UserDefinedFields": {"ticket": str(self.events)},
            "VerificationState": self.rng.choice(("TRUE_POSITIVE", "FALSE_POSITIVE", "BENIGN_POSITIVE")),
        }
        values = {member: known[member] for member in self.rng.sample(sorted(known), self.rng.randint(1, 4))}
        if self._hub.analyst([finding["Id"]], **values)["ProcessedFindings"]:
            self.triage[finding["Id"]].append(values)

    def _delete(self, document: Document) -> None:
        try:
            self._cluster.request("DELETE", self._cluster.path(document))
        except ApiError as error:
            if error.status != 404:
                raise
