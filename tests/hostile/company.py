"""A company in a cluster: workloads, reports of three engines about them, and the changes of a working day.

It writes to the API server as engines and controllers do, and records every write that should reach Security Hub: the
violation, the expected outcome of its finding, and the time. It does not know the operator. `caught_up` finds out from
Security Hub's journal whether a finding has followed the last write, so that writes of one violation are
distinguishable.

| change | write | expected outcome |
|---|---|---|
| new | a report about an object that had none | created |
| change | another severity of a result that fails | changed |
| fix | the result passes | archived |
| back | it fails again; once for each violation, because archives of flapping findings are delayed | reactivated |
| withdraw | the report is deleted | archived after the archive delay |
| listed, unlisted | Gatekeeper's list has one Pod more or one less | created; archived after the delay |
| touch | only the timestamps of a report change | nothing |
| roll | a Pod and its report are replaced | nothing |
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from dev.cluster import ApiError, Cluster
from tests.faults import manifests
from tests.faults.cluster_state import OWNED_KINDS, ClusterState
from tests.faults.manifests import Result
from tests.faults.owner_graph import Ref
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
PERMANENT = 4
"""Objects in each namespace of which only the reports' timestamps change."""


class Write(NamedTuple):
    """One write to the API server that should change a finding."""

    violation: Violation
    outcome: str
    """The hub journal's term: created, changed, archived, reactivated."""
    at: float
    prompt: bool = True
    """Whether it should follow at once: not if the evidence must mature."""


@dataclass
class ViolationState:
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
        """The periods of each violation; it exists while the last one has no end."""
        self.permanent: set[Violation] = set()
        self._size = size
        self._gatekeeper = gatekeeper
        self._rng = random.Random(seed)  # noqa: S311  (repeatable)
        self._states: dict[Violation, ViolationState] = {}
        self._reports: dict[tuple[str, Ref], dict[str, ViolationState]] = {}
        self._apps: list[App] = []
        self._tools: list[Ref] = []
        """Pods without an owner that Gatekeeper lists."""
        self._numbers = count(1)
        self._audited = 0

    # -- phases --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Create the company with several hundred violations."""
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
                    self._report(engine, about, {policy: ViolationState(failing=True) for policy in POLICIES})
                    if number < PERMANENT:
                        self.permanent |= {_violation(engine, policy, about) for policy in POLICIES}
            for number in range(APPS):
                self._apps.append(self._deploy(space, f"app-{number}"))
        for number in range(CLUSTER_ROLES):
            self._report(
                "kyverno",
                Ref("ClusterRole", "", f"{self.spaces[0]}-{number}"),
                {"limits": ViolationState(failing=True)},
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
        """One change, of a violation whose finding has caught up with its last write."""
        changes: dict[Callable[[Callable[[Violation], bool]], None], float] = {
            self._new: 30, self._change: 15, self._fix: 15, self._back: 15, self._withdraw: 4, self._touch: 10,
            self._roll: 5,
        }  # fmt: skip
        if self._gatekeeper:
            changes |= {self._list: 4, self._unlist: 3}
        self._rng.choices(list(changes), weights=list(changes.values()))[0](caught_up)

    def rescan(self) -> None:
        """Every engine scans again without new results, which confirms evidence that waits for a scan."""
        seen = set()
        for engine, about in list(self._reports):
            if (engine, about.namespace) not in seen:
                seen.add((engine, about.namespace))
                self._put(engine, about)
        if self._gatekeeper:
            self._audit()

    def read_state(self) -> ClusterState:
        """The company's violations, read from the API server."""
        state = ClusterState()
        for space in self.spaces:
            for kind, path in OWNED_KINDS.items():
                for item in self.cluster.request("GET", _within(path, space))["items"]:
                    state.owner_graph.put({"kind": kind, **item})
        for space in self.spaces:
            for path in REPORTS[::2]:
                self._read(state, _within(path, space))
        for path in manifests.CLUSTER_COLLECTIONS:
            self._read(state, path)
        if self._gatekeeper:
            for constraint in self.cluster.request("GET", f"{CONSTRAINTS}/{KIND.lower()}")["items"]:
                state.read_constraint({"kind": KIND, **constraint})
        return state

    def _read(self, state: ClusterState, path: str) -> None:
        for report in self.cluster.request("GET", path)["items"]:
            state.read_report(report)

    def readable(self) -> bool:
        """Whether the reports can be read: a new kind may answer 429 at first."""
        try:
            self.read_state()
        except ApiError as error:
            if error.status != 429:
                raise
            return False
        return True

    def forget_history(self) -> None:
        """Security Hub is empty again: forget all writes so far."""
        self.writes.clear()
        for violation, state in list(self._states.items()):
            state.returned = False
            if state.failing:
                self.existed[violation] = [[0.0]]
            else:
                self.existed.pop(violation, None)
        for state in self._states.values():
            state.fixed_for_good = False

    # -- changes --------------------------------------------------------------------------------------------------

    def _new(self, _: Callable[[Violation], bool]) -> None:
        engine = self._rng.choice(list(ENGINES))
        about = Ref("Deployment", self._rng.choice(self.spaces), f"new-{next(self._numbers)}")
        self._report(engine, about, {self._rng.choice(POLICIES): ViolationState(failing=True)})

    def _change(self, caught_up: Callable[[Violation], bool]) -> None:
        if found := self._pick(caught_up, lambda state: state.failing):
            key, policy, state = found
            state.severity = (state.severity + 1) % len(SEVERITIES)
            self._write(key, policy, "changed")

    def _fix(self, caught_up: Callable[[Violation], bool]) -> None:
        if found := self._pick(caught_up, lambda state: state.failing):
            key, policy, state = found
            state.failing, state.fixed_for_good = False, state.returned
            self._write(key, policy, "archived")

    def _back(self, caught_up: Callable[[Violation], bool]) -> None:
        def fixed(state: ViolationState) -> bool:
            return not state.failing and not state.returned

        if found := self._pick(caught_up, fixed):
            key, policy, state = found
            state.failing = state.returned = True
            # a violation that was fixed before Security Hub was emptied has no finding to reactivate
            known = bool(self.existed.get(_violation(key[0], policy, key[1])))
            self._write(key, policy, "reactivated" if known else "created")

    def _withdraw(self, caught_up: Callable[[Violation], bool]) -> None:
        if found := self._pick(caught_up, lambda state: state.failing and not state.returned):
            key, _, _ = found
            states = self._reports[key]
            if not all(caught_up(_violation(key[0], policy, key[1])) for policy in states):
                return
            del self._reports[key]
            now = time.time()
            self.cluster.request("DELETE", self.cluster.path(self._report_document(*key, [])))
            for policy, state in states.items():
                violation = _violation(key[0], policy, key[1])
                self._states.pop(violation)
                if state.failing:
                    self._note(violation, now, failing=False)
                    self.writes.append(Write(violation, "archived", now, prompt=False))

    def _touch(self, _: Callable[[Violation], bool]) -> None:
        self._put(*self._rng.choice(list(self._reports)))

    def _roll(self, _: Callable[[Violation], bool]) -> None:
        app = self._rng.choice(self._apps)
        new, old = self._pod(app), app.pods.pop(0)
        app.pods.append(new)
        for path in (self._probe_path(old), self.cluster.path(manifests.workload(old))):
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
        self, caught_up: Callable[[Violation], bool], fits: Callable[[ViolationState], bool]
    ) -> tuple[tuple[str, Ref], str, ViolationState] | None:
        keys = list(self._reports)
        self._rng.shuffle(keys)
        for key in keys:
            for policy, state in self._reports[key].items():
                violation = _violation(key[0], policy, key[1])
                usable = violation not in self.permanent and not state.fixed_for_good and fits(state)
                if usable and (caught_up(violation) or not self.existed.get(violation)):
                    return key, policy, state
        return None

    # -- writing -------------------------------------------------------------------------------------------------------

    def _report(self, engine: str, about: Ref, states: dict[str, ViolationState]) -> None:
        now = time.time()
        self._reports[engine, about] = states
        self._put(engine, about)
        for policy, state in states.items():
            violation = _violation(engine, policy, about)
            self._states[violation] = state
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
            Result(policy, "check", "fail" if state.failing else "pass", SEVERITIES[state.severity])
            for policy, state in self._reports[engine, about].items()
        ]
        self.cluster.apply([self._report_document(engine, about, results)])

    def _report_document(self, engine: str, about: Ref, results: Sequence[Result]) -> Document:
        kind = ENGINES[engine] if about.namespace else f"Cluster{ENGINES[engine]}"
        stamp = {"seconds": int(time.time()), "nanos": 0}
        return manifests.report(about, results, source=engine, kind=kind, stamp=stamp)

    def _note(self, violation: Violation, now: float, *, failing: bool) -> None:
        spans = self.existed[violation]
        if failing and (not spans or len(spans[-1]) == 2):
            spans.append([now])
        elif not failing and spans and len(spans[-1]) == 1:
            spans[-1].append(now)

    def _audit(self) -> None:
        """Gatekeeper lists the first Pod of each workload, and the tools."""
        pods = [*(app.pods[0] for app in self._apps), *self._tools]
        self._audited = max(
            self._audited + 1, int(time.time()) + 2
        )  # later than every Pod, by a clock of whole seconds
        document = manifests.constraint(REPOS, pods, total=len(pods), kind=KIND, audited=self._audited)
        path = f"{CONSTRAINTS}/{KIND.lower()}/{REPOS}"
        try:
            stored = self.cluster.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            stored = self.cluster.request("POST", path.rpartition("/")[0], document)
        self.cluster.request("PUT", f"{path}/status", {**stored, "status": document["status"]})

    def _deploy(self, space: str, name: str) -> App:
        """A Deployment with its ReplicaSet and two Pods; the last workload of each namespace is a CronJob with its
        Job.
        """
        job = name.endswith(str(APPS - 1))
        top = Ref("CronJob" if job else "Deployment", space, name)
        layer = Ref("Job" if job else "ReplicaSet", space, f"{name}-1")
        stored = self._create_workload(top)
        below = self._create_workload(layer, owner=top, uid=stored["metadata"]["uid"], revision=0 if job else 1)
        app = App(about=layer, above=top, uid=below["metadata"]["uid"])
        app.pods = [self._pod(app), self._pod(app)]
        return app

    def _pod(self, app: App) -> Ref:
        """Create a Pod and the report about it."""
        pod = Ref("Pod", app.about.namespace, f"{app.about.name}-{next(self._numbers)}")
        self._create_workload(pod, owner=app.about, uid=app.uid)
        self.cluster.apply([self._probe(pod)])
        return pod

    def _probe(self, pod: Ref) -> Document:
        return self._report_document("kyverno", pod, [Result("probes", "check")])

    def _probe_path(self, pod: Ref) -> str:
        return self.cluster.path(self._probe(pod))

    def _tool(self) -> Ref:
        pod = Ref("Pod", self._rng.choice(self.spaces), f"tool-{next(self._numbers)}")
        self._create_workload(pod)
        return pod

    def _create_workload(self, ref: Ref, *, owner: Ref | None = None, uid: str = "", revision: int = 0) -> Document:
        document = manifests.workload(ref, owner=owner, uid=uid, revision=revision)
        return self.cluster.request("POST", self.cluster.path(document).rpartition("/")[0], document)


def _violation(engine: str, policy: str, about: Ref) -> Violation:
    return Violation(engine, policy, "check", *about)


def _listed(about: Ref) -> Violation:
    return Violation(GATEKEEPER, KIND, REPOS, *about)


def _within(path: str, space: str) -> str:
    head, _, plural = path.rpartition("/")
    return f"{head}/namespaces/{space}/{plural}"
