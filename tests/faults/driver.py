"""Changes a cluster at random, from a seed, and records the truth: when each violation existed.

It writes to the API server directly, never through the proxy, and does not know the operator. `workloads` and `audits`
list the changes of workloads and audits; the others are:

| change | effect |
|---|---|
| rewrite | an engine scans an object again: other results, messages, severities |
| touch | only the timestamps of a report change |
| remove, vanish | a report is deleted; an object is deleted with all reports about it and replaced by another |
| close | a namespace is deleted with its objects |
| triage | an analyst updates a finding |
"""

import random
import time
from collections import defaultdict
from typing import Any

from dev.cluster import Cluster
from dev.hub.process import HubProcess
from tests.faults import manifests
from tests.faults.audits import DROPPED, Audits
from tests.faults.engines import ENGINES as WORKLOAD_ENGINES
from tests.faults.engines import HOURLY, KYVERNO, REVISION, SIDECAR
from tests.faults.manifests import Document, Result
from tests.faults.owner_graph import Ref
from tests.faults.scene import Key, Scene
from tests.faults.truth import GATEKEEPER, Truth, Unlisted, Violation
from tests.faults.workload_model import FIRST
from tests.faults.workloads import Workloads
from tests.integration.operator.test_operator_policies import KINDS, policy

PLAIN = {
    "one": ("PolicyReport",),
    "two": ("Report",),
    "both": ("PolicyReport", "Report"),
}
"""Engines that report on objects of which the cluster has only the name, and the kinds of report that each writes (for
a cluster-scoped object: Cluster…).
"""
ENGINES = (*PLAIN, *WORKLOAD_ENGINES)
POLICIES = (("alpha", "check"), ("alpha", "limit"), ("beta", "check"))
OBJECTS = 30
CLUSTER_OBJECTS = 6
SCANS = 4
PERMANENT = 10
"""Further objects of each engine whose violations never end: only the timestamps of their reports change."""
SPACES = ("north", "south", "west")
CLOSING = "west"
"""The namespace that is sometimes deleted."""


class Driver:
    def __init__(self, cluster: Cluster, hub: HubProcess, *, seed: int) -> None:
        self.events = 0
        self.permanent: set[Violation] = set()
        """Violations that never end."""
        self.triage: dict[str, list[Document]] = defaultdict(list)
        """By finding id: the analyst's updates in order, as arguments of BatchUpdateFindings."""
        self.scene = Scene(cluster, seed=seed)
        self._rng: random.Random = self.scene.rng
        self._workloads = Workloads(self.scene)
        self._audits = Audits(self.scene, self._workloads)
        self._hub = hub
        self._objects: dict[str, list[Ref]] = {}
        self._fixed: dict[str, list[Ref]] = {}
        self._next = 0

    @property
    def truth(self) -> Truth:
        return self.scene.truth

    @property
    def pod_changes(self) -> int:
        """How many Pods were created or deleted."""
        return self.scene.pod_changes

    def unlisted(self, *, restarted: bool) -> Unlisted:
        return self._audits.unlisted(restarted=restarted)

    # -- phases of a run ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Write all first reports, constraints and Kyverno policies."""
        self.scene.cluster.apply(KINDS[:1])
        self.scene.cluster.apply([policy(name) for name in {*(name for name, _ in POLICIES), SIDECAR.policy}])
        for space in SPACES:
            self.scene.open(space)
        for engine in PLAIN:
            spaces = [SPACES[number % len(SPACES)] for number in range(OBJECTS)] + [""] * CLUSTER_OBJECTS
            self._objects[engine] = [self._object(space) for space in spaces]
            self._fixed[engine] = [_ref(("north", "south", "")[n % 3], f"still-{n}") for n in range(PERMANENT)]
        reports: dict[Key, list[Result]] = {}
        for engine in PLAIN:
            for about in self._objects[engine]:
                reports |= {(engine, kind, about): self._draw() for kind in self._kinds(engine, about)}
            for about in self._fixed[engine]:
                results = [Result(*policy) for policy in POLICIES]
                reports |= {(engine, kind, about): results for kind in self._kinds(engine, about)}
        self.scene.report_all(reports)
        self._workloads.begin()
        self._audits.begin()
        self.permanent = {violation for violation in self.truth.violations() if _is_permanent(violation)}
        self.scene.pod_changes = 0

    def run(self, *, seconds: float, changes: int, pace: float) -> None:
        """Make about `pace` changes a second, for at least this long and at least this many."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.events < changes:
            self.step()
            time.sleep(self._rng.uniform(0.5, 1.5) / pace)  # the driver's own pace; it does not wait for anything

    def step(self) -> None:
        """One change, and the delayed effects of earlier ones."""
        self.events += 1
        self.scene.tick()
        work, audits = self._workloads, self._audits
        changes = {
            self._rewrite: 30.0, self._touch: 14.0, self._remove: 4.0, self._vanish: 5.0, self._close: 0.7,
            self._triage: 7.0, audits.again: 10.0, audits.rewrite_unchanged: 5.0, audits.drop: 0.7, work.roll: 6.0,
            work.scale: 3.0, work.tick: 3.0, work.vanish: 2.0, work.change_results: 4.0, work.again: 6.0,
            work.drop_report: 3.0,
        }  # fmt: skip
        self._rng.choices(list(changes), weights=list(changes.values()))[0]()

    def rest(self) -> None:
        """Finish everything that has begun, and audit each constraint once more."""
        self.scene.finish()
        self._audits.rest()

    def pause_late_engine(self) -> None:
        """Fix a Deployment, then pause the late engine until `resume_late_engine`. Replace the Pods of the permanent
        violations twice, each time during an audit that lists none of the new Pods. No other audit runs.
        """
        self.scene.finish()
        self._workloads.fix_deployment()
        self._workloads.pause_late_engine()
        for _ in range(2):
            self._audits.overtaken()
            self._workloads.replace()
            self.scene.finish()
        self._scan(KYVERNO, REVISION)

    def resume_late_engine(self) -> None:
        self._workloads.resume_late_engine()
        self._scan(*WORKLOAD_ENGINES)

    def _scan(self, *engines: str) -> None:
        """These engines scan all objects a few more times, as they do every hour, with the same results. A finding that
        was active before a restart, and whose Pods are gone, waits for that.
        """
        for _ in range(SCANS):
            time.sleep(1.1)  # engines write times in whole seconds
            self.scene.report_all({key: reports for key, reports in self.scene.results.items() if key[0] in engines})

    def clear(self) -> None:
        """Delete all objects of the run from the cluster."""
        for space in self.scene.spaces:
            self.scene.empty(space)
        for path in manifests.CLUSTER_COLLECTIONS:
            self.scene.delete(path)
        self._audits.clear()

    # -- reports --------------------------------------------------------------------------------------------------

    def _object(self, space: str) -> Ref:
        self._next += 1
        return _ref(space, f"web-{self._next}")

    @staticmethod
    def _kinds(engine: str, about: Ref) -> list[str]:
        return [kind if about.namespace else f"Cluster{kind}" for kind in PLAIN[engine]]

    def _draw(self) -> list[Result]:
        outcomes = ("fail", "fail", "fail", "warn", "error", "pass", "pass", "skip", "")
        drawn = [
            Result(
                *policy, self._rng.choice(outcomes), self._rng.choice(("low", "medium", "high")), self._rng.randrange(3)
            )
            for policy in POLICIES
        ]
        return [result for result in drawn if result.outcome]

    def _pick(self) -> Key:
        engine = self._rng.choice(list(PLAIN))
        about = self._rng.choice(self._objects[engine])
        return engine, self._rng.choice(self._kinds(engine, about)), about

    def _rewrite(self) -> None:
        self.scene.report(self._pick(), self._draw())

    def _touch(self) -> None:
        key = self._pick()
        if self._rng.random() < 0.5:
            about = self._rng.choice(self._fixed[key[0]])
            key = key[0], self._rng.choice(self._kinds(key[0], about)), about
        if key in self.scene.results:
            self.scene.report(key, self.scene.results[key])

    def _remove(self) -> None:
        self.scene.withdraw(self._pick())

    def _vanish(self) -> None:
        engine, _, about = self._pick()
        for kind in self._kinds(engine, about):
            self.scene.withdraw((engine, kind, about))
        index = self._objects[engine].index(about)
        self._objects[engine][index] = self._object(about.namespace)
        for kind in self._kinds(engine, self._objects[engine][index]):
            self.scene.report((engine, kind, self._objects[engine][index]), self._draw())

    # -- namespaces and the analyst -------------------------------------------------------------------------------

    def _close(self) -> None:
        if CLOSING in self.scene.spaces:
            self.scene.close(CLOSING)
            self._workloads.close_namespace(CLOSING)

    def _triage(self) -> None:
        active = self._hub.findings(record_state="ACTIVE")
        if not active:
            return
        finding = self._rng.choice(active)
        known: dict[str, Any] = {
            "Workflow": {"Status": self._rng.choice(("NEW", "NOTIFIED", "SUPPRESSED", "RESOLVED"))},
            "Note": {"Text": f"note {self.events}", "UpdatedBy": "analyst"},
            "Severity": {"Label": self._rng.choice(("INFORMATIONAL", "LOW", "CRITICAL"))},
            "UserDefinedFields": {"ticket": str(self.events)},
            "VerificationState": self._rng.choice(("TRUE_POSITIVE", "FALSE_POSITIVE", "BENIGN_POSITIVE")),
        }
        values = {member: known[member] for member in self._rng.sample(sorted(known), self._rng.randint(1, 4))}
        if self._hub.analyst([finding["Id"]], **values)["ProcessedFindings"]:
            self.triage[finding["Id"]].append(values)


def _ref(space: str, name: str) -> Ref:
    return Ref("Deployment" if space else "ClusterRole", space, name)


def _is_permanent(violation: Violation) -> bool:
    """A CronJob's Pods end. Of the other workloads, the violations of the late engine and of Gatekeeper never end."""
    if violation.source == GATEKEEPER:
        return violation.name.startswith(FIRST) and violation.rule != DROPPED
    permanent = violation.name.removeprefix(FIRST).startswith("still-")
    return permanent and not (
        violation.kind == "CronJob" and (violation.source == HOURLY or violation.policy == "mesh")
    )
