"""Changes a cluster at random, from a seed, and keeps the truth about it: when each violation existed.

It writes to the API server itself, never through the proxy, and knows nothing of the operator.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from dev.cluster import ApiError, Cluster
from dev.hub.process import HubProcess
from tests.integration.operator.world import constraint, report, result

Document = dict[str, Any]
Violation = tuple[str, str, str, str, str]
"""Source, policy, kind, namespace and name."""

ENGINES = {"one": ("PolicyReport",), "two": ("Report",), "both": ("PolicyReport", "Report")}
"""Engines, and the kinds of report that each writes about every object."""
POLICIES = ("alpha", "beta", "gamma")
OBJECTS = 30
STILL = 10
"""More objects of each engine whose violations never end: they are rewritten with new timestamps, and nothing else."""
SPACES = ("north", "south")
CONSTRAINTS = (("repos", "K8sAllowedRepos"), ("labels", "K8sRequiredLabels"))
PODS = 14
LIMIT = 8


class Driver:
    def __init__(self, cluster: Cluster, hub: HubProcess, *, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311  (repeatable)
        self.events = 0
        self.still: set[Violation] = set()
        """Violations that never end."""
        self.triage: dict[str, tuple[float, str, str]] = {}
        """By finding id: when, workflow status and note that the analyst set last."""
        self.existed: dict[Violation, list[list[float]]] = defaultdict(list)
        """By violation: when it began and ended; it exists while the last has no end."""
        self._cluster = cluster
        self._hub = hub
        self._said: dict[tuple[str, str, str, str], dict[str, str]] = {}
        self._listed: dict[str, set[str]] = {}
        self._written: dict[str, Document] = {}

    # -- the truth ------------------------------------------------------------------------------------------------

    def violations(self) -> set[Violation]:
        """What is wrong in the cluster now."""
        return {violation for violation, times in self.existed.items() if len(times[-1]) == 1}

    def _note(self, before: set[Violation], *, now: float) -> None:
        after = self._true()
        for violation in after - before:
            self.existed[violation].append([now])
        for violation in before - after:
            self.existed[violation][-1].append(now)

    def _true(self) -> set[Violation]:
        said = {
            (engine, policy, "Deployment", space, name)
            for (engine, _, space, name), results in self._said.items()
            for policy, outcome in results.items()
            if outcome == "fail"
        }
        kinds = dict(CONSTRAINTS)
        return said | {
            ("gatekeeper", kinds[name], "Pod", SPACES[0], pod) for name, pods in self._listed.items() for pod in pods
        }

    # -- changes --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Every object has its reports, every constraint its list."""
        for space in SPACES:
            self._cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}])
        for engine, kinds in ENGINES.items():
            for number in range(OBJECTS):
                for kind in kinds:
                    self._write(engine, kind, SPACES[number % 2], f"web-{number}", self._results())
            for number in range(STILL):
                for kind in kinds:
                    self._write(engine, kind, SPACES[number % 2], f"still-{number}", dict.fromkeys(POLICIES, "fail"))
        for name, _ in CONSTRAINTS:
            self._audit(name, set(self._pods(5)), limit=LIMIT)
        self.still = {violation for violation in self.violations() if violation[-1].startswith("still-")}

    def run(self, *, seconds: float, pace: float) -> None:
        """About `pace` changes a second."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
            time.sleep(self.rng.uniform(0.5, 1.5) / pace)  # the pace is what is driven here, nothing is waited for

    def step(self) -> None:
        """One change."""
        self.events += 1
        change = self.rng.choices(
            (self._rewrite, self._touch, self._remove, self._again, self._standing, self._drop, self._judge),
            weights=(40, 20, 6, 20, 10, 1, 5),
        )[0]
        change()

    def end(self) -> None:
        """What is truncated is listed whole, and every audit says so twice."""
        for name, _ in CONSTRAINTS:
            for _ in range(2):
                self._audit(name, self._listed.get(name, set()), limit=PODS)

    def clear(self) -> None:
        """Nothing of it is left in the cluster."""
        for engine, kind, space, name in list(self._said):
            self._delete(report(f"{engine}-{name}", namespace=space, kind=kind))
        for name, kind in CONSTRAINTS:
            self._delete(constraint(name, kind=kind))

    def _results(self) -> dict[str, str]:
        outcomes = {policy: self.rng.choice(("fail", "fail", "pass", "skip", "")) for policy in POLICIES}
        return {policy: outcome for policy, outcome in outcomes.items() if outcome}

    def _pick(self) -> tuple[str, str, str, str]:
        engine = self.rng.choice(list(ENGINES))
        number = self.rng.randrange(OBJECTS)
        return engine, self.rng.choice(ENGINES[engine]), SPACES[number % 2], f"web-{number}"

    def _rewrite(self) -> None:
        self._write(*self._pick(), self._results())

    def _touch(self) -> None:
        """New timestamps and nothing else."""
        which = self._pick()
        if self.rng.random() < 0.5:
            number = self.rng.randrange(STILL)
            which = (*which[:2], SPACES[number % 2], f"still-{number}")
        if which in self._said:
            self._write(*which, self._said[which])

    def _remove(self) -> None:
        which = self._pick()
        if which not in self._said:
            return
        before, now = self._true(), time.time()
        engine, kind, space, name = which
        self._delete(report(f"{engine}-{name}", namespace=space, kind=kind))
        del self._said[which]
        self._note(before, now=now)

    def _write(self, engine: str, kind: str, space: str, name: str, results: dict[str, str]) -> None:
        stamp = {"seconds": int(time.time()), "nanos": self.rng.randrange(10**9)}
        lines = [
            {**result(policy, result=outcome), "source": engine, "timestamp": stamp}
            for policy, outcome in results.items()
        ]
        document = report(f"{engine}-{name}", *lines, namespace=space, kind=kind)
        document["scope"]["name"] = name
        before, now = self._true(), time.time()
        self._cluster.apply([document])
        self._said[engine, kind, space, name] = results
        self._note(before, now=now)

    def _pods(self, number: int) -> Iterable[str]:
        return self.rng.sample([f"pod-{n:02}" for n in range(PODS)], number)

    def _again(self) -> None:
        """An audit that finds a few things changed; sometimes by another limit."""
        name, _ = self.rng.choice(CONSTRAINTS)
        pods = set(self._listed.get(name, ()))
        pods ^= set(self._pods(self.rng.choice((0, 0, 1, 1, 2, 3))))
        self._audit(name, pods, limit=self.rng.choice((LIMIT, LIMIT, LIMIT, 3, PODS)))

    def _audit(self, name: str, pods: set[str], *, limit: int) -> None:
        kind = dict(CONSTRAINTS)[name]
        listed = sorted(pods)[:limit]
        document = constraint(name, *listed, total=len(pods), kind=kind, namespace=SPACES[0])
        before, now = self._true(), time.time()
        self._cluster.apply([document])
        self._listed[name] = pods
        self._written[name] = document
        self._note(before, now=now)

    def _standing(self) -> None:
        """Rewritten with the same audit, as an enforcement point that errs does."""
        name, _ = self.rng.choice(CONSTRAINTS)
        if name in self._written:
            document = self._written[name]
            document["status"]["byPod"] = [{"id": f"audit-{self.rng.random()}"}]
            self._cluster.apply([document])

    def _drop(self) -> None:
        name, kind = self.rng.choice(CONSTRAINTS)
        if name not in self._written:
            return
        before, now = self._true(), time.time()
        self._delete(constraint(name, kind=kind))
        self._listed.pop(name)
        self._written.pop(name)
        self._note(before, now=now)

    def _judge(self) -> None:
        """An analyst looks at a finding."""
        active = self._hub.findings(record_state="ACTIVE")
        if not active:
            return
        finding = self.rng.choice(active)
        workflow, note = self.rng.choice(("NOTIFIED", "SUPPRESSED", "RESOLVED")), f"note {self.events}"
        self._hub.analyst([finding["Id"]], workflow=workflow, note=note)
        self.triage[finding["Id"]] = (time.time(), workflow, note)

    def _delete(self, document: Document) -> None:
        try:
            self._cluster.request("DELETE", self._cluster.path(document))
        except ApiError as error:
            if error.status != 404:
                raise
