"""Changes a cluster at random, from a seed, and keeps the truth about it: when each violation existed.

It writes to the API server itself, never through the proxy, and knows nothing of the operator. Workloads and audits
change in ways of their own (`workloads`, `audits`); beside them:

| change | what |
|---|---|
| rewrite | an engine looks at an object again: other results, messages, severities |
| touch | the same with new timestamps and nothing else |
| remove, vanish | one report goes; an object goes, with all reports about it, and another takes its place |
| close | a namespace goes, with all that is in it |
| judge | an analyst works on a finding |
"""

import random
import time
from collections import defaultdict
from typing import Any

from dev.cluster import Cluster
from dev.hub.process import HubProcess
from tests.faults import paper
from tests.faults.audits import DROPPED, Audits
from tests.faults.company import FIRST
from tests.faults.engines import ENGINES as WORKLOAD_ENGINES
from tests.faults.engines import HOURLY, KYVERNO, REVISION, SIDECAR
from tests.faults.family import Ref
from tests.faults.paper import Document, Result
from tests.faults.scene import Key, Scene
from tests.faults.truth import GATEKEEPER, Truth, Unlisted, Violation
from tests.faults.workloads import Workloads
from tests.integration.operator.test_operator_policies import KINDS, policy

PLAIN = {
    "one": ("PolicyReport",),
    "two": ("Report",),
    "both": ("PolicyReport", "Report"),
}
"""Engines that look at objects of which the cluster has no more than the name, and the kinds of report that each writes
(of a cluster-scoped one: Cluster…).
"""
ENGINES = (*PLAIN, *WORKLOAD_ENGINES)
POLICIES = (("alpha", "check"), ("alpha", "limit"), ("beta", "check"))
OBJECTS = 30
CLUSTER_OBJECTS = 6
SCANS = 4
STILL = 10
"""More objects of each engine whose violations never end: they are rewritten with new timestamps, and nothing else."""
SPACES = ("north", "south", "west")
CLOSING = "west"
"""The namespace that is deleted now and then."""


class Driver:
    def __init__(self, cluster: Cluster, hub: HubProcess, *, seed: int) -> None:
        self.events = 0
        self.still: set[Violation] = set()
        """Violations that never end."""
        self.triage: dict[str, list[Document]] = defaultdict(list)
        """By finding id: what the analyst did, one after the other, as BatchUpdateFindings takes it."""
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
    def turned(self) -> int:
        """How many Pods have come or gone."""
        return self.scene.turned

    def unlisted(self, *, restarted: bool) -> Unlisted:
        return self._audits.unlisted(restarted=restarted)

    # -- the course of a run --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Every object has its reports, every constraint its list; Kyverno's policies are objects."""
        self.scene.cluster.apply(KINDS[:1])
        self.scene.cluster.apply([policy(name) for name in {*(name for name, _ in POLICIES), SIDECAR.policy}])
        for space in SPACES:
            self.scene.open(space)
        for engine in PLAIN:
            spaces = [SPACES[number % len(SPACES)] for number in range(OBJECTS)] + [""] * CLUSTER_OBJECTS
            self._objects[engine] = [self._object(space) for space in spaces]
            self._fixed[engine] = [_ref(("north", "south", "")[n % 3], f"still-{n}") for n in range(STILL)]
        said: dict[Key, list[Result]] = {}
        for engine in PLAIN:
            for about in self._objects[engine]:
                said |= {(engine, kind, about): self._draw() for kind in self._kinds(engine, about)}
            for about in self._fixed[engine]:
                results = [Result(*policy) for policy in POLICIES]
                said |= {(engine, kind, about): results for kind in self._kinds(engine, about)}
        self.scene.report_all(said)
        self._workloads.begin()
        self._audits.begin()
        self.still = {violation for violation in self.truth.violations() if _lasts(violation)}
        self.scene.turned = 0

    def run(self, *, seconds: float, changes: int, pace: float) -> None:
        """About `pace` changes a second, for this long and until there were so many."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.events < changes:
            self.step()
            time.sleep(self._rng.uniform(0.5, 1.5) / pace)  # the pace is what is driven here, nothing is waited for

    def step(self) -> None:
        """One change, and what earlier ones brought with them."""
        self.events += 1
        self.scene.tick()
        work, audits = self._workloads, self._audits
        changes = {
            self._rewrite: 30.0, self._touch: 14.0, self._remove: 4.0, self._vanish: 5.0, self._close: 0.7,
            self._judge: 7.0, audits.again: 10.0, audits.standing: 5.0, audits.drop: 0.7, work.roll: 6.0,
            work.scale: 3.0, work.tick: 3.0, work.vanish: 2.0, work.turn: 4.0, work.again: 6.0, work.lose: 3.0,
        }  # fmt: skip
        self._rng.choices(list(changes), weights=list(changes.values()))[0]()

    def rest(self) -> None:
        """All that was begun is ended, and each constraint audited once more."""
        self.scene.finish()
        self._audits.rest()

    def stay_away(self) -> None:
        """A Deployment is mended. Then the engine that is late comes no more until `come_round`, the Pods of what lasts
        are replaced twice, and each time during an audit: it lists none of those that live. There is no other.
        """
        self.scene.finish()
        self._workloads.mend()
        self._workloads.stay_away()
        for _ in range(2):
            self._audits.overtaken()
            self._workloads.replace()
            self.scene.finish()
        self._scan(KYVERNO, REVISION)

    def come_round(self) -> None:
        self._workloads.come_round()
        self._scan(*WORKLOAD_ENGINES)

    def _scan(self, *engines: str) -> None:
        """These look at all that there is a few times more, as they do hourly: what they have to say is the same. What
        was active before a restart, and went with its Pods, waits for that.
        """
        for _ in range(SCANS):
            time.sleep(1.1)  # engines tell their times in whole seconds
            self.scene.report_all({key: said for key, said in self.scene.results.items() if key[0] in engines})

    def clear(self) -> None:
        """Nothing of it is left in the cluster."""
        for space in self.scene.spaces:
            self.scene.empty(space)
        for path in paper.CLUSTER_COLLECTIONS:
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
        words = ("fail", "fail", "fail", "warn", "error", "pass", "pass", "skip", "")
        drawn = [
            Result(
                *policy, self._rng.choice(words), self._rng.choice(("low", "medium", "high")), self._rng.randrange(3)
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
        place = self._objects[engine].index(about)
        self._objects[engine][place] = self._object(about.namespace)
        for kind in self._kinds(engine, self._objects[engine][place]):
            self.scene.report((engine, kind, self._objects[engine][place]), self._draw())

    # -- namespaces and the analyst -------------------------------------------------------------------------------

    def _close(self) -> None:
        if CLOSING in self.scene.spaces:
            self.scene.close(CLOSING)
            self._workloads.leave(CLOSING)

    def _judge(self) -> None:
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


def _lasts(violation: Violation) -> bool:
    """The Pods of a CronJob end; of the others the late engine's and Gatekeeper's violations never do."""
    if violation.source == GATEKEEPER:
        return violation.name.startswith(FIRST) and violation.rule != DROPPED
    still = violation.name.removeprefix(FIRST).startswith("still-")
    return still and not (violation.kind == "CronJob" and (violation.source == HOURLY or violation.policy == "mesh"))
