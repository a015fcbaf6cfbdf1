"""A model of Kyverno's reports controller, with the worst behaviour that facts/engines.md records.

A background scan visits every object in its own order and takes minutes to hours; each visit rewrites the
object's report (named by its uid, owned by it) with new times. A created or changed object gets the results of policies
with `admission` within seconds, the others with the next scan. A deleted policy's results vanish from all reports half
a minute later. It writes nothing while it is stopped; after all reports are deleted, only the next visits write them.
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
    """The content of one object's report, by policy: the result and its time."""

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
        """Called when it reports that an object does not have a violation."""
        self.on_silence: Callable[[Violation], None] = lambda _violation: None
        """Called when it cannot evaluate a violation and writes nothing, as if the object were clean."""
        self._results: dict[str, _Results] = {}
        self._again = asyncio.Event()

    @property
    def report(self) -> Kind:
        return POLICY_REPORT if self.group == WG else REPORT

    # -- its policies ---------------------------------------------------------------------------------------------

    def add(self, policy: Policy) -> None:
        self.policies[policy.name] = policy
        annotations = {"policies.kyverno.io/severity": policy.severity}
        if policy.title:
            annotations["policies.kyverno.io/title"] = policy.title
        self.server.put(CLUSTER_POLICY, policy.name, metadata={"annotations": annotations})

    def drop(self, name: str) -> None:
        """Delete a policy. Its results leave the reports half a minute later, if the engine runs."""
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
        """The pairs (policy, rule) that the object violates under the existing policies."""
        flaws = self.cluster.flaws.get(document["metadata"]["uid"], frozenset())
        where = document["metadata"].get("namespace", ""), document["metadata"]["name"]
        for policy in self.policies.values():
            if policy.flaw in flaws and not policy.excepts(*where) and policy.applies(kind, where[0]):
                yield policy.name, policy.rule

    def claims(self, *, templates: bool = False) -> Iterator[Violation]:
        """The violations that its reports state as `fail` now, if it still writes them; `templates` adds results that
        cannot be evaluated, and violations of controlled ReplicaSets and Jobs.
        """
        reported = {"fail", "error"} if templates else {"fail"}
        for uid, results in self._results.items():
            if self.server.get(self.report, results.namespace, uid) is None:
                continue
            for policy, (result, _) in results.of.items():
                if result not in reported:
                    continue
                if (violation := self._of(uid, results, policy, templates=templates)) is not None:
                    yield violation

    def notices(self) -> Iterator[Violation]:
        yield from ()

    def unevaluated(self) -> Iterator[Violation]:
        """The violations that its reports state as `error` now."""
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

    # -- reporting -----------------------------------------------------------------------------------------------------

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
        for uid, results in list(self._results.items()):  # a deleted object is forgotten with its report
            stored = self.server.get(results.kind, results.namespace, results.name)
            if stored is None or stored.uid != uid:
                del self._results[uid]

    def noticed(self, kind: Kind, document: Document) -> None:
        """An object was created or changed: admission reports it within seconds."""
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

    # -- operations ----------------------------------------------------------------------------------------------------

    def rescan(self) -> None:
        """A scan starts now."""
        self._again.set()

    def wipe(self) -> None:
        """Delete all its reports; scans create them again, object by object."""
        for kind in (POLICY_REPORT, REPORT):
            for document in list(self.server.all(kind)):
                if document["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "kyverno":
                    self.server.delete(kind, document["metadata"]["namespace"], document["metadata"]["name"])
        self._results.clear()

    def switch(self) -> None:
        """`--openreportsEnabled=true`: the reports of the old API are never updated again."""
        self.server.install(REPORT)
        self.server.install(CLUSTER_REPORT)
        self.group = OPEN
        self.rescan()
