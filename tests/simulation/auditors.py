"""Models of Gatekeeper's audit and of an engine whose reports keep the time of their creation.

Gatekeeper: an audit reads the objects when it starts, and writes every constraint when it ends, even if unchanged;
a list above the limit is the smallest N in order, written in reverse. A constraint has no status before its first
audit.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.simulation.cluster import Cluster
from tests.simulation.kinds import (
    CONFIGMAP,
    JOB,
    POD,
    POLICY_REPORT,
    REPLICASET,
    REPORTED,
    SERVICE,
    STATEFULSET,
    TEMPLATE,
    Document,
    Kind,
    constraint_kind,
)
from tests.simulation.rules import GATEKEEPER, TRIVY, Policy, Violation, subject
from tests.simulation.server import stamp

OWNED = (POD, REPLICASET, JOB)
Listed = tuple[str, str, str, str, str]
"""Group, version, kind, namespace, name: the sort order of a violation list."""


@dataclass
class Constraint:
    kind: Kind
    name: str
    flaw: str
    matches: tuple[Kind, ...]


class Gatekeeper:
    source = GATEKEEPER

    def __init__(self, cluster: Cluster, rng: random.Random, *, interval: float, limit: int = 500) -> None:
        self.cluster = cluster
        self.server = cluster.server
        self.rng = rng
        self.interval = interval
        self.limit = limit
        self.running = True
        self.constraints: dict[str, Constraint] = {}
        self.unlistable: set[str] = set()
        """Kinds that the audit cannot list. Their violations are missing from the audit's lists, and no status says
        so.
        """
        self.on_denial: Callable[[Violation], None] = lambda _violation: None
        self._listed: dict[str, list[Listed]] = {}
        self._cut: set[str] = set()
        """Constraints whose list is shorter than their count."""

    def add(self, constraint: Constraint) -> None:
        if not self.server.serves(constraint.kind):
            self.server.install(TEMPLATE)
            self.server.install(constraint.kind)
            self.server.put(TEMPLATE, constraint.kind.plural)
        self.constraints[constraint.name] = constraint
        self.server.put(constraint.kind, constraint.name, spec={"enforcementAction": "dryrun"})

    def drop(self, name: str) -> None:
        constraint = self.constraints.pop(name, None)
        if constraint is not None:
            self._listed.pop(name, None)
            self._cut.discard(name)
            self.server.delete(constraint.kind, "", name)

    def drop_template(self, kind: Kind) -> None:
        for name in [name for name, c in self.constraints.items() if c.kind == kind]:
            self.drop(name)
        self.server.delete(TEMPLATE, "", kind.plural)
        self.server.remove(kind)

    def violations(self, kind: Kind, document: Document) -> Iterator[tuple[str, str]]:
        flaws = self.cluster.flaws.get(document["metadata"]["uid"], frozenset())
        for constraint in self.constraints.values():
            if constraint.flaw in flaws and kind in constraint.matches:
                yield constraint.kind.name, constraint.name

    def claims(self, *, templates: bool = False) -> Iterator[Violation]:
        """The violations in its lists now, even of deleted objects if `templates` is set."""
        for name, listed in self._listed.items():
            constraint = self.constraints.get(name)
            for _, _, kind_name, namespace, object_ in listed if constraint else ():
                kind = next(k for k in REPORTED if k.name == kind_name)
                stored = self.server.get(kind, namespace, object_)
                about = subject(self.server, stored.document) if stored is not None else None
                if stored is None and templates and kind not in OWNED:
                    about = kind.name, namespace, object_
                if about is not None and constraint is not None:
                    yield Violation(GATEKEEPER, constraint.kind.name, name, *about)

    def notices(self) -> Iterator[Violation]:
        yield from (_notice(self.constraints[name]) for name in self._cut if name in self.constraints)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.interval * self.rng.uniform(0.9, 1.1))
            if self.running:
                await self._audit()

    async def _audit(self) -> None:
        began = self.server.loop.wall_ms
        found: dict[str, list[Listed]] = {name: [] for name in self.constraints}
        denied: list[Violation] = []
        for kind in REPORTED:
            if kind.name in self.unlistable:
                continue
            for document in self.server.all(kind):
                meta = document["metadata"]
                violated = {name for _, name in self.violations(kind, document)}
                about = subject(self.server, document)
                for name, constraint in self.constraints.items():
                    if name in violated:
                        found[name].append(
                            (kind.group, kind.version, kind.name, meta.get("namespace", ""), meta["name"])
                        )
                    elif kind in constraint.matches and about is not None:
                        denied.append(Violation(GATEKEEPER, constraint.kind.name, name, *about))
        await asyncio.sleep(self.rng.uniform(5, self.interval / 4))
        for name, listed in found.items():
            if self.running and name in self.constraints:
                self._write(self.constraints[name], sorted(listed), began)
        for violation in denied:
            self.on_denial(violation)

    def _write(self, constraint: Constraint, found: list[Listed], began: int) -> None:
        listed = found[: self.limit]
        self._listed[constraint.name] = listed
        if len(listed) < len(found):
            self._cut.add(constraint.name)
        else:
            self._cut.discard(constraint.name)
            self.on_denial(_notice(constraint))
        status: Document = {"auditTimestamp": stamp(began), "totalViolations": len(found)}
        if listed:
            status["violations"] = [
                {
                    "group": group,
                    "version": version,
                    "kind": kind,
                    "namespace": namespace,
                    "name": name,
                    "message": f"{constraint.flaw} is not allowed",
                    "enforcementAction": "dryrun",
                }
                for group, version, kind, namespace, name in reversed(listed)
            ]
        self.server.put(constraint.kind, constraint.name, spec={"enforcementAction": "dryrun"}, status=status)


def _notice(constraint: Constraint) -> Violation:
    return Violation(GATEKEEPER, constraint.kind.name, constraint.name, constraint.kind.name, "", constraint.name)


class Trivy:
    """Trivy writes one report per object. Timestamps are the report's creation time; each report is created again once
    a day.
    """

    source = TRIVY
    SCANNED_KINDS = (SERVICE, CONFIGMAP, STATEFULSET)

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.cluster = cluster
        self.server = cluster.server
        self.rng = rng
        self.running = True
        self.policies: dict[str, Policy] = {}
        self.on_denial: Callable[[Violation], None] = lambda _violation: None
        self._made: dict[tuple[str, str], tuple[Kind, str, str, int, frozenset[str]]] = {}
        """By the report's namespace and name: the object (with uid), the creation time, the violations."""

    def violations(self, kind: Kind, document: Document) -> Iterator[tuple[str, str]]:
        flaws = self.cluster.flaws.get(document["metadata"]["uid"], frozenset())
        if kind in self.SCANNED_KINDS:
            yield from ((p.name, p.rule) for p in self.policies.values() if p.flaw in flaws)

    def claims(self, *, templates: bool = False) -> Iterator[Violation]:
        for (namespace, report), (kind, name, _, _, failing) in self._made.items():
            if self.server.get(POLICY_REPORT, namespace, report) is not None:
                for policy in failing:
                    yield Violation(TRIVY, policy, self.policies[policy].rule, kind.name, namespace, name)

    def notices(self) -> Iterator[Violation]:
        yield from ()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(600)
            if self.running and self.policies:
                self._scan()

    def _scan(self) -> None:
        seen = set()
        now = self.server.loop.wall_ms // 1000
        for kind in self.SCANNED_KINDS:
            for document in self.server.all(kind):
                meta = document["metadata"]
                key = meta["namespace"], f"trivy-audit-polr-{kind.name.lower()}-{meta['name']}"
                seen.add(key)
                failing = frozenset(policy for policy, _ in self.violations(kind, document))
                made = self._made.get(key)
                old = made is not None and now - made[3] > 86_400
                if made is None or old or (made[2], made[4]) != (meta["uid"], failing):
                    if old:
                        self.server.delete(POLICY_REPORT, *key)
                    self._made[key] = kind, meta["name"], meta["uid"], now, failing
                    self._write(key)
        for key in [key for key in self._made if key not in seen]:
            del self._made[key]
            self.server.delete(POLICY_REPORT, *key)

    def _write(self, key: tuple[str, str]) -> None:
        namespace, report = key
        kind, name, _, at, failing = self._made[key]
        results = [
            {
                "policy": p.name,
                "rule": p.rule,
                "source": TRIVY,
                "result": "fail" if p.name in failing else "pass",
                "severity": p.severity,
                "message": f"{p.flaw} found",
                "timestamp": {"seconds": at, "nanos": 0},
            }
            for p in self.policies.values()
        ]
        scope = {"apiVersion": kind.api_version, "kind": kind.name, "name": name, "namespace": namespace}
        self.server.put(POLICY_REPORT, report, namespace, scope=scope, results=results)
        for policy in self.policies.values():
            if policy.name not in failing:
                self.on_denial(Violation(TRIVY, policy.name, policy.rule, kind.name, namespace, name))


__all__ = ["Constraint", "Gatekeeper", "Trivy", "constraint_kind"]
