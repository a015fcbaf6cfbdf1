"""A model of Kyverno's reports controller, by facts/engines.md, at its worst.

A background scan visits every object in an order of its own and takes minutes to hours; each visit rewrites the
object's report (named by its uid, owned by it) with new times. What was created or changed gets the results of policies
with `admission` within seconds, the others with the next scan. A deleted policy's results vanish from all reports half
a minute later. Nothing is written while it is stopped; after a wipe nothing is written but by the next visits.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.simulation.cluster import Cluster, reference
from tests.simulation.kinds import (
    CLUSTER_POLICY,
    CLUSTER_REPORT,
    OPEN,
    POLICY_REPORT,
    REPORT,
    REPORTED,
    WG,
    Document,
    Kind,
)
from tests.simulation.rules import KYVERNO, Policy, Violation, subject
from tests.simulation.server import Stored

SCORES = ("pass", "fail")


@dataclass
class _Results:
    """What one object's report holds, by policy: the result and when it was found."""

    kind: Kind
    namespace: str
    name: str
    of: dict[str, tuple[str, int]] = field(default_factory=dict)


class Kyverno:
    source = KYVERNO

    def __init__(self, cluster: Cluster, rng: random.Random, *, interval: float, duration: float) -> None:
        self.cluster = cluster
        self.server = cluster.server
        self.rng = rng
        self.interval = interval
        """Seconds between the starts of two scans."""
        self.duration = duration
        """Seconds that a scan takes."""
        self.fail_only = False
        """`--allowedResults=fail`: an object without a failure has no report."""
        self.policies: dict[str, Policy] = {}
        self.erring: set[str] = set()
        """Policies that cannot be evaluated now: `error` in place of a result."""
        self.running = True
        self.group = WG
        self.scans = 0
        self.order = "any"
        """Which objects a scan visits first: `any`, `pods` (Pods before their controllers), `controllers`."""
        self.on_denial: Callable[[Violation], None] = lambda _violation: None
        """Told when it reports of an object that a violation is not there."""
        self.on_silence: Callable[[Violation], None] = lambda _violation: None
        """Told when it cannot tell whether there is one, and is as silent as about what is clean."""
        self._results: dict[str, _Results] = {}
        self._again = asyncio.Event()

    @property
    def report(self) -> Kind:
        return POLICY_REPORT if self.group == WG else REPORT

    # -- its policies ---------------------------------------------------------------------------------------------

    def add(self, policy: Policy) -> None:
        self.policies[policy.name] = policy
        told = {"policies.kyverno.io/severity": policy.severity}
        if policy.title:
            told["policies.kyverno.io/title"] = policy.title
        self.server.put(CLUSTER_POLICY, policy.name, metadata={"annotations": told})

    def drop(self, name: str) -> None:
        """Its results leave the reports half a minute later, if the engine runs."""
        if self.policies.pop(name, None) is not None:
            self.server.delete(CLUSTER_POLICY, "", name)
            self.server.loop.call_later(self.rng.uniform(15, 40), self._forget, name)

    def _forget(self, name: str) -> None:
        if not self.running or name in self.policies:
            return
        for uid, results in list(self._results.items()):
            if results.of.pop(name, None) is not None:
                self._write(uid)

    def violations(self, kind: Kind, document: Document) -> Iterator[tuple[str, str]]:
        """(policy, rule) that the object violates by the policies that there are."""
        flaws = self.cluster.flaws.get(document["metadata"]["uid"], frozenset())
        where = document["metadata"].get("namespace", ""), document["metadata"]["name"]
        for policy in self.policies.values():
            if policy.flaw in flaws and not policy.excepts(*where) and policy.applies(kind, where[0]):
                yield policy.name, policy.rule

    def claims(self, *, templates: bool = False) -> Iterator[Violation]:
        """What its reports call `fail` now, where it still writes them; also what cannot be evaluated, and what
        controlled ReplicaSets and Jobs are said to violate, if `templates` are asked for.
        """
        said = {"fail", "error"} if templates else {"fail"}
        for uid, results in self._results.items():
            if self.server.get(self.report, results.namespace, uid) is None:
                continue
            for policy, (result, _) in results.of.items():
                if result not in said:
                    continue
                if (violation := self._of(uid, results, policy, templates=templates)) is not None:
                    yield violation

    def notices(self) -> Iterator[Violation]:
        yield from ()

    def unevaluated(self) -> Iterator[Violation]:
        """What its reports call `error` now."""
        for uid, results in self._results.items() if not self.fail_only else ():
            for policy, (result, _) in results.of.items():
                if result == "error" and (violation := self._of(uid, results, policy)) is not None:
                    yield violation

    def _of(self, uid: str, results: _Results, policy: str, *, templates: bool = False) -> Violation | None:
        stored = self.server.get(results.kind, results.namespace, results.name)
        known = self.policies.get(policy)
        if stored is None or stored.uid != uid or known is None:
            return None
        about = subject(self.server, stored.document, templates=templates)
        return None if about is None else Violation(KYVERNO, policy, known.rule, *about)

    # -- its work -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Scan after scan, until cancelled."""
        while True:
            began = self.server.loop.time()
            self._again.clear()
            if self.running:
                await self._scan()
            left = began + self.interval - self.server.loop.time()
            try:
                async with asyncio.timeout(max(1.0, left)):
                    await self._again.wait()
            except TimeoutError:
                continue

    async def _scan(self) -> None:
        objects = [(kind, doc) for kind in REPORTED for doc in self.server.all(kind)]
        self.rng.shuffle(objects)
        if self.order != "any":
            pods_first = self.order == "pods"
            objects.sort(key=lambda pair: (pair[0].name in {"Pod", "ReplicaSet", "Job"}) != pods_first)
        each = self.duration / max(1, len(objects))
        for kind, document in objects:
            await asyncio.sleep(each)
            if not self.running or self._again.is_set():
                return
            meta = document["metadata"]
            stored = self.server.get(kind, meta.get("namespace", ""), meta["name"])
            if stored is not None and stored.uid == meta["uid"]:
                self._visit(kind, stored, background=True)
        self.scans += 1
        for uid, results in list(self._results.items()):  # what is gone is forgotten; its report goes with it
            stored = self.server.get(results.kind, results.namespace, results.name)
            if stored is None or stored.uid != uid:
                del self._results[uid]

    def noticed(self, kind: Kind, document: Document) -> None:
        """Something was created or changed: admission tells of it within seconds."""
        if kind in REPORTED:
            self.server.loop.call_later(self.rng.uniform(3, 20), self._admit, kind, document["metadata"])

    def _admit(self, kind: Kind, meta: Document) -> None:
        stored = self.server.get(kind, meta.get("namespace", ""), meta["name"])
        if self.running and stored is not None and stored.uid == meta["uid"]:
            self._visit(kind, stored, background=False)

    def _visit(self, kind: Kind, stored: Stored, *, background: bool) -> None:
        meta = stored.document["metadata"]
        results = self._results.setdefault(stored.uid, _Results(kind, meta.get("namespace", ""), meta["name"]))
        violated = {policy for policy, _ in self.violations(kind, stored.document)}
        now = self.server.loop.wall_ms // 1000
        for policy in self.policies.values():
            if not policy.applies(kind, results.namespace) or not (
                policy.background if background else policy.admission
            ):
                continue
            if policy.name in self.erring:
                results.of[policy.name] = "error", now
            elif policy.excepts(results.namespace, results.name):
                results.of[policy.name] = "skip", now
            else:
                results.of[policy.name] = SCORES[policy.name in violated], now
        self._write(stored.uid)
        for name, (result, _) in results.of.items():
            if (violation := self._of(stored.uid, results, name)) is None:
                continue
            if result in {"pass", "skip"}:
                self.on_denial(violation)
            elif result == "error" and self.fail_only:
                self.on_silence(violation)

    def _write(self, uid: str) -> None:
        results = self._results[uid]
        listed = [
            self._result(self.policies[name], results, result, at)
            for name, (result, at) in sorted(results.of.items())
            if name in self.policies and (result == "fail" or not self.fail_only)
        ]
        owner = self.server.get(results.kind, results.namespace, results.name)
        if not listed or owner is None or owner.uid != uid:
            self.server.delete(self.report, results.namespace, uid)
            return
        scope = {key: value for key, value in reference(owner).items() if key != "controller"}
        self.server.put(
            self.report,
            uid,
            results.namespace,
            owner=reference(owner) | {"controller": False},
            metadata={"labels": {"app.kubernetes.io/managed-by": "kyverno"}},
            scope=scope | {"namespace": results.namespace},
            results=listed,
        )

    @staticmethod
    def _result(policy: Policy, results: _Results, result: str, at: int) -> Document:
        rule = policy.rule_for(results.kind)
        path = "/spec/containers/0/" if results.kind.name == "Pod" else "/spec/template/spec/containers/0/"
        words = {"fail": f"rule {rule} failed at path {path}", "error": "cannot be evaluated"}
        return {
            "policy": policy.name,
            "rule": rule,
            "source": KYVERNO,
            "result": result,
            "scored": True,
            "severity": policy.severity,
            "message": words.get(result, f"rule {rule} {result}"),
            "timestamp": {"seconds": at, "nanos": 0},
        }

    # -- what is done to it ---------------------------------------------------------------------------------------

    def rescan(self) -> None:
        """A scan begins now."""
        self._again.set()

    def wipe(self) -> None:
        """All its reports are deleted; it makes them anew, object by object."""
        for kind in (POLICY_REPORT, REPORT):
            for document in list(self.server.all(kind)):
                if document["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "kyverno":
                    self.server.delete(kind, document["metadata"]["namespace"], document["metadata"]["name"])
        self._results.clear()

    def switch(self) -> None:
        """`--openreportsEnabled=true`: the reports of the other API stay as they are, for ever."""
        self.server.install(REPORT)
        self.server.install(CLUSTER_REPORT)
        self.group = OPEN
        self.rescan()
