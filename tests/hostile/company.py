"""A company in a cluster: workloads, what three engines report about them, and the changes of a working day.

It writes to the API server as the engines and controllers do, and notes every write that Security Hub should hear of:
which violation, what should become of its finding, and when. It knows nothing of the operator; whether a finding has
caught up with the last write is a question to Security Hub's journal (`caught_up`), so that each write can be told from
the next.

| change | what is written | what should follow |
|---|---|---|
| new | a report about an object that had none | created |
| change | another severity of a result that fails | changed |
| fix | the result passes | archived |
| back | it fails again; once for each violation, for more would be damped | reactivated |
| withdraw | the report is deleted | archived after the archive delay |
| listed, unlisted | Gatekeeper's list has one Pod more, or one less | created; archived after the delay |
| touch | a report with new timestamps and nothing else | nothing |
| roll | a Pod is replaced, with the report about it | nothing |
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from dev.cluster import ApiError, Cluster
from tests.faults import paper
from tests.faults.census import THINGS, Census
from tests.faults.family import Ref
from tests.faults.paper import Result
from tests.faults.truth import CONSTRAINTS, GATEKEEPER, REPORTS, Violation

Document = dict[str, Any]

KIND = "K8sAllowedRepos"
REPOS = "repos"
ENGINES = {"kyverno": "PolicyReport", "openscan": "Report"}
POLICIES = ("limits", "probes", "capabilities")
SEVERITIES = ("low", "medium", "high")
APPS = 3
"""Workloads with Pods in each namespace."""
CLUSTER_ROLES = 4
STILL = 4
"""So many of each namespace's objects nobody ever touches but by new timestamps."""


class Write(NamedTuple):
    """One write to the API server that a finding should follow."""

    violation: Violation
    outcome: str
    """As the hub's journal calls it: created, changed, archived, reactivated."""
    at: float
    prompt: bool = True
    """Whether it should follow at once: not where evidence has to ripen."""


@dataclass
class Life:
    """What the company knows of one violation."""

    failing: bool
    severity: int = 1
    returned: bool = False
    fixed_for_good: bool = False


@dataclass
class App:
    """A workload with its Pods."""

    about: Ref
    above: Ref
    uid: str
    pods: list[Ref] = field(default_factory=list)


class Company:
    def __init__(self, cluster: Cluster, *, spaces: Sequence[str], size: int, seed: int, gatekeeper: bool) -> None:
        self.cluster = cluster
        self.spaces = tuple(spaces)
        self.writes: list[Write] = []
        self.existed: dict[Violation, list[list[float]]] = defaultdict(list)
        """When each violation began and ended; it exists while the last span has no end."""
        self.still: set[Violation] = set()
        self._size = size
        self._gatekeeper = gatekeeper
        self._rng = random.Random(seed)  # noqa: S311  (repeatable)
        self._lives: dict[Violation, Life] = {}
        self._reports: dict[tuple[str, Ref], dict[str, Life]] = {}
        self._apps: list[App] = []
        self._tools: list[Ref] = []
        """Pods without an owner that Gatekeeper lists."""
        self._numbers = count(1)
        self._audited = 0

    # -- the course of things -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open for business; several hundred violations."""
        spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}} for space in self.spaces]
        self.cluster.apply(spaces)
        for space in self.spaces:
            account = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": space},
            }
            self.cluster.apply([account])
            for number in range(self._size):
                about = Ref("Deployment", space, f"web-{number}")
                for engine in list(ENGINES)[: 1 + number % 2]:
                    self._report(engine, about, {policy: Life(failing=True) for policy in POLICIES})
                    if number < STILL:
                        self.still |= {_violation(engine, policy, about) for policy in POLICIES}
            for number in range(APPS):
                self._apps.append(self._deploy(space, f"app-{number}"))
        for number in range(CLUSTER_ROLES):
            self._report(
                "kyverno", Ref("ClusterRole", "", f"{self.spaces[0]}-{number}"), {"limits": Life(failing=True)}
            )
        for app in self._apps:
            self._note(_violation("kyverno", "probes", app.above), time.time(), failing=True)
        if self._gatekeeper:
            self._tools = [self._tool() for _ in range(3)]
            self._audit()
            now = time.time()
            for about in (*(app.above for app in self._apps), *self._tools):
                self._note(_listed(about), now, failing=True)
        self.writes.clear()

    def step(self, caught_up: Callable[[Violation], bool]) -> None:
        """One change, of a violation whose finding has caught up with its last one."""
        changes: dict[Callable[[Callable[[Violation], bool]], None], float] = {
            self._new: 30, self._change: 15, self._fix: 15, self._back: 15, self._withdraw: 4, self._touch: 10,
            self._roll: 5,
        }  # fmt: skip
        if self._gatekeeper:
            changes |= {self._list: 4, self._unlist: 3}
        self._rng.choices(list(changes), weights=list(changes.values()))[0](caught_up)

    def rest(self) -> None:
        """Every engine looks once more, and finds nothing new: what waits for its word may go on."""
        seen = set()
        for engine, about in list(self._reports):
            if (engine, about.namespace) not in seen:
                seen.add((engine, about.namespace))
                self._put(engine, about)
        if self._gatekeeper:
            self._audit()

    def census(self) -> Census:
        """What the API server has of the company, read anew."""
        taken = Census()
        for space in self.spaces:
            for kind, path in THINGS.items():
                for thing in self.cluster.request("GET", _within(path, space))["items"]:
                    taken.family.put({"kind": kind, **thing})
        for space in self.spaces:
            for path in REPORTS[::2]:
                self._read(taken, _within(path, space))
        for path in paper.CLUSTER_COLLECTIONS:
            self._read(taken, path)
        if self._gatekeeper:
            for constraint in self.cluster.request("GET", f"{CONSTRAINTS}/{KIND.lower()}")["items"]:
                taken.read_constraint({"kind": KIND, **constraint})
        return taken

    def _read(self, taken: Census, path: str) -> None:
        for report in self.cluster.request("GET", path)["items"]:
            taken.read_report(report)

    def readable(self) -> bool:
        """A kind that has just come asks for patience."""
        try:
            self.census()
        except ApiError as error:
            if error.status != 429:
                raise
            return False
        return True

    def begin_again(self) -> None:
        """Security Hub has forgotten everything: what was noted is about another one."""
        self.writes.clear()
        for violation, life in list(self._lives.items()):
            life.returned = False
            if life.failing:
                self.existed[violation] = [[0.0]]
            else:
                self.existed.pop(violation, None)
        for life in self._lives.values():
            life.fixed_for_good = False

    # -- changes --------------------------------------------------------------------------------------------------

    def _new(self, _: Callable[[Violation], bool]) -> None:
        engine = self._rng.choice(list(ENGINES))
        about = Ref("Deployment", self._rng.choice(self.spaces), f"new-{next(self._numbers)}")
        self._report(engine, about, {self._rng.choice(POLICIES): Life(failing=True)})

    def _change(self, caught_up: Callable[[Violation], bool]) -> None:
        if found := self._pick(caught_up, lambda life: life.failing):
            key, policy, life = found
            life.severity = (life.severity + 1) % len(SEVERITIES)
            self._write(key, policy, "changed")

    def _fix(self, caught_up: Callable[[Violation], bool]) -> None:
        if found := self._pick(caught_up, lambda life: life.failing):
            key, policy, life = found
            life.failing, life.fixed_for_good = False, life.returned
            self._write(key, policy, "archived")

    def _back(self, caught_up: Callable[[Violation], bool]) -> None:
        def fixed(life: Life) -> bool:
            return not life.failing and not life.returned

        if found := self._pick(caught_up, fixed):
            key, policy, life = found
            life.failing = life.returned = True
            # one that was fixed before Security Hub was emptied has no finding to come back
            known = bool(self.existed.get(_violation(key[0], policy, key[1])))
            self._write(key, policy, "reactivated" if known else "created")

    def _withdraw(self, caught_up: Callable[[Violation], bool]) -> None:
        if found := self._pick(caught_up, lambda life: life.failing and not life.returned):
            key, _, _ = found
            lives = self._reports[key]
            if not all(caught_up(_violation(key[0], policy, key[1])) for policy in lives):
                return
            del self._reports[key]
            now = time.time()
            self.cluster.request("DELETE", self.cluster.path(self._paper(*key, [])))
            for policy, life in lives.items():
                violation = _violation(key[0], policy, key[1])
                self._lives.pop(violation)
                if life.failing:
                    self._note(violation, now, failing=False)
                    self.writes.append(Write(violation, "archived", now, prompt=False))

    def _touch(self, _: Callable[[Violation], bool]) -> None:
        self._put(*self._rng.choice(list(self._reports)))

    def _roll(self, _: Callable[[Violation], bool]) -> None:
        app = self._rng.choice(self._apps)
        new, old = self._pod(app), app.pods.pop(0)
        app.pods.append(new)
        for path in (self._probe_path(old), self.cluster.path(paper.thing(old))):
            self.cluster.request("DELETE", path, gracePeriodSeconds=0)
        if self._gatekeeper:
            self._audit()

    def _list(self, _: Callable[[Violation], bool]) -> None:
        pod = self._tool()
        self._tools.append(pod)
        now = time.time()
        self._audit()
        self._note(_listed(pod), now, failing=True)
        self.writes.append(Write(_listed(pod), "created", now))

    def _unlist(self, caught_up: Callable[[Violation], bool]) -> None:
        if len(self._tools) > 2 and caught_up(_listed(self._tools[0])):
            pod = self._tools.pop(0)
            now = time.time()
            self._audit()
            self._audit()
            self._note(_listed(pod), now, failing=False)
            self.writes.append(Write(_listed(pod), "archived", now, prompt=False))

    def _pick(
        self, caught_up: Callable[[Violation], bool], fits: Callable[[Life], bool]
    ) -> tuple[tuple[str, Ref], str, Life] | None:
        keys = list(self._reports)
        self._rng.shuffle(keys)
        for key in keys:
            for policy, life in self._reports[key].items():
                violation = _violation(key[0], policy, key[1])
                usable = violation not in self.still and not life.fixed_for_good and fits(life)
                if usable and (caught_up(violation) or not self.existed.get(violation)):
                    return key, policy, life
        return None

    # -- what is written ------------------------------------------------------------------------------------------

    def _report(self, engine: str, about: Ref, lives: dict[str, Life]) -> None:
        now = time.time()
        self._reports[engine, about] = lives
        self._put(engine, about)
        for policy, life in lives.items():
            violation = _violation(engine, policy, about)
            self._lives[violation] = life
            self._note(violation, now, failing=True)
            self.writes.append(Write(violation, "created", now))

    def _write(self, key: tuple[str, Ref], policy: str, outcome: str) -> None:
        now, violation = time.time(), _violation(key[0], policy, key[1])
        self._put(*key)
        if outcome != "changed":
            self._note(violation, now, failing=outcome != "archived")
        self.writes.append(Write(violation, outcome, now))

    def _put(self, engine: str, about: Ref) -> None:
        results = [
            Result(policy, "check", "fail" if life.failing else "pass", SEVERITIES[life.severity])
            for policy, life in self._reports[engine, about].items()
        ]
        self.cluster.apply([self._paper(engine, about, results)])

    def _paper(self, engine: str, about: Ref, results: Sequence[Result]) -> Document:
        kind = ENGINES[engine] if about.namespace else f"Cluster{ENGINES[engine]}"
        stamp = {"seconds": int(time.time()), "nanos": 0}
        return paper.report(about, results, source=engine, kind=kind, stamp=stamp)

    def _note(self, violation: Violation, now: float, *, failing: bool) -> None:
        spans = self.existed[violation]
        if failing and (not spans or len(spans[-1]) == 2):
            spans.append([now])
        elif not failing and spans and len(spans[-1]) == 1:
            spans[-1].append(now)

    def _audit(self) -> None:
        """Gatekeeper lists the first Pod of each workload, and the tools."""
        pods = [*(app.pods[0] for app in self._apps), *self._tools]
        self._audited = max(self._audited + 1, int(time.time()) + 2)  # after every Pod, by a clock of whole seconds
        document = paper.constraint(REPOS, pods, total=len(pods), kind=KIND, audited=self._audited)
        path = f"{CONSTRAINTS}/{KIND.lower()}/{REPOS}"
        try:
            stored = self.cluster.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            stored = self.cluster.request("POST", path.rpartition("/")[0], document)
        self.cluster.request("PUT", f"{path}/status", {**stored, "status": document["status"]})

    def _deploy(self, space: str, name: str) -> App:
        """A Deployment with its ReplicaSet and two Pods; the last of each namespace is a CronJob with its Job."""
        job = name.endswith(str(APPS - 1))
        top = Ref("CronJob" if job else "Deployment", space, name)
        layer = Ref("Job" if job else "ReplicaSet", space, f"{name}-1")
        stored = self._thing(top)
        below = self._thing(layer, owner=top, uid=stored["metadata"]["uid"], revision=0 if job else 1)
        app = App(about=layer, above=top, uid=below["metadata"]["uid"])
        app.pods = [self._pod(app), self._pod(app)]
        return app

    def _pod(self, app: App) -> Ref:
        """With the report about it."""
        pod = Ref("Pod", app.about.namespace, f"{app.about.name}-{next(self._numbers)}")
        self._thing(pod, owner=app.about, uid=app.uid)
        self.cluster.apply([self._probe(pod)])
        return pod

    def _probe(self, pod: Ref) -> Document:
        return self._paper("kyverno", pod, [Result("probes", "check")])

    def _probe_path(self, pod: Ref) -> str:
        return self.cluster.path(self._probe(pod))

    def _tool(self) -> Ref:
        pod = Ref("Pod", self._rng.choice(self.spaces), f"tool-{next(self._numbers)}")
        self._thing(pod)
        return pod

    def _thing(self, ref: Ref, *, owner: Ref | None = None, uid: str = "", revision: int = 0) -> Document:
        document = paper.thing(ref, owner=owner, uid=uid, revision=revision)
        return self.cluster.request("POST", self.cluster.path(document).rpartition("/")[0], document)


def _violation(engine: str, policy: str, about: Ref) -> Violation:
    return Violation(engine, policy, "check", *about)


def _listed(about: Ref) -> Violation:
    return Violation(GATEKEEPER, KIND, REPOS, *about)


def _within(path: str, space: str) -> str:
    head, _, plural = path.rpartition("/")
    return f"{head}/namespaces/{space}/{plural}"
