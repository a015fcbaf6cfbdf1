"""A model of a monitored cluster: what its engines and its users do, and what is true of it.

Two report APIs of one engine (Kyverno), a Gatekeeper constraint that is audited now and then, two namespaces. Each
change has a number (`seq`), so that for every violation it can be said since when it stands, and for every observer up
to which change it has seen. Which violations stand is told by the reports and by the objects themselves, never by what
an audit has listed:

* a result that cannot be read hides a violation that stood before, and does not end it;
* the reports of an API that is removed with its CRD are unknown, not gone, until the API is back;
* an audit may list no more than `limit` objects, and may miss one (once: what two audits lack counts as gone);
* an API that the engine has left behind (frozen) calls for nothing.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from policyhub.findings.identity import finding_id
from policyhub.sources.violation import SourceKey
from tests.unit.sync.model_hub import REFUSED

OLD_API, NEW_API = "policyreports.wgpolicyk8s.io", "reports.openreports.io"
CONSTRAINTS = "k8sallowedrepos.constraints.gatekeeper.sh"
ORIGINS = (OLD_API, NEW_API, CONSTRAINTS)
REPORT_APIS = ORIGINS[:2]
KEYS = (
    SourceKey("wgpolicyk8s.io", "policyreports", "shop", "a"),
    SourceKey("wgpolicyk8s.io", "policyreports", "shop", "b"),
    SourceKey("openreports.io", "reports", "shop", "a"),
    SourceKey("wgpolicyk8s.io", "policyreports", "team", "c"),
)
CONSTRAINT = SourceKey("constraints.gatekeeper.sh", "k8sallowedrepos", "", "repos")

Said = dict[str, str]
"""What a report says of each violation: a message (it fails), `pass`, or `broken` (a result that cannot be read)."""
MESSAGES = ("fail", REFUSED, "worse")
"""In the order in which one is chosen where several speak."""


class Case(NamedTuple):
    """What an identity is made of."""

    source: str
    policy: str
    rule: str
    group: str
    kind: str
    namespace: str
    name: str

    @property
    def id(self) -> str:
        return finding_id("alpha", (*self, ""))


CASES = {
    **{f"r{n}": Case("kyverno", "p", f"r{n}", "apps", "Deployment", "shop", "web") for n in range(3)},
    "team": Case("kyverno", "p", "r0", "apps", "Deployment", "team", "web"),
    **{f"p{n}": Case("gatekeeper", "K8sAllowedRepos", "repos", "", "Pod", "shop", f"p{n}") for n in range(3)},
    "q": Case("gatekeeper", "K8sAllowedRepos", "repos", "", "Pod", "team", "q"),
}
IDS = {case.id: label for label, case in CASES.items()}
REPORTED = {"shop": ("r0", "r1", "r2"), "team": ("team",)}
PODS = ("p0", "p1", "p2", "q")
"""In Gatekeeper's order."""


class Audit(NamedTuple):
    """What a constraint's status says."""

    seq: int
    seconds: int
    listed: tuple[str, ...]
    total: int


class Cluster:
    def __init__(self) -> None:
        self.seq = 0
        self.reports: dict[SourceKey, Said] = {}
        self.seconds = 0
        """When the engines last wrote (Unix seconds)."""
        self.constraint = True
        self.audit: Audit | None = None
        self.violating: dict[str, int] = {}
        """Pods that do not meet the policy, since when."""
        self.namespaces = {"shop", "team"}
        self.removed: set[str] = set()
        """Source APIs that are not served."""
        self.left = False
        """Whether the engine has left the older API behind."""
        self.impostor = False
        """Whether another cluster answers new requests."""
        self._since: dict[tuple[SourceKey, str], int] = {}
        self._left_until = 0
        self._missed: set[str] = set()
        self._made: dict[str, int] = {}

    # -- what happens in it ---------------------------------------------------------------------------------------

    def write(self, key: SourceKey, content: Said | None, *, seconds: int) -> None:
        """A report is written or deleted."""
        if key.namespace not in self.namespaces or key.origin in self.removed:
            return
        if key.origin == OLD_API and self.left:
            self.left, self._left_until = False, self.seq + 1
        self.seq += 1
        self.seconds = seconds
        said = {n: words for n, words in (content or {}).items() if n in REPORTED[key.namespace]}
        for label in REPORTED[key.namespace]:
            words, before = said.get(label, "pass"), (key, label) in self._since
            if words == "pass" or (words == "broken" and not before):
                self._since.pop((key, label), None)
            else:
                self._since.setdefault((key, label), self.seq)
        if content is None:
            self.reports.pop(key, None)
        else:
            self.reports[key] = said
        self._forget_removed()

    def _forget_removed(self) -> None:
        """What an API that was removed called for is unknown only while no other speaks of it."""
        heard = {label for key, label in self._since if key.origin not in self.removed}
        for call in [call for call in self._since if call[0].origin in self.removed and call[1] in heard]:
            del self._since[call]

    def leave(self) -> None:
        """The engine goes on with the newer API."""
        self.seq += 1
        self.left = True

    def set_pods(self, pods: set[str]) -> None:
        """Which Pods violate the policy now."""
        self.seq += 1
        there = {p for p in pods if CASES[p].namespace in self.namespaces}
        self.violating = {p: self.violating.get(p, self.seq) for p in PODS if p in there}

    def run_audit(self, *, limit: int, missed: str, seconds: int) -> None:
        """Gatekeeper lists the smallest, the greatest of them first."""
        if not self.constraint:
            return
        self.seq += 1
        seconds = max(seconds, self.audit.seconds + 1 if self.audit else 0)
        lacks = {missed} - self._missed
        self._missed |= lacks & self.violating.keys()
        found = [pod for pod in PODS if pod in self.violating and pod not in lacks]
        self.audit = Audit(self.seq, seconds, tuple(reversed(found[:limit])), len(found))

    def set_constraint(self, *, there: bool) -> None:
        """The policy is deleted, or made anew: then it has not been audited yet."""
        if CONSTRAINTS in self.removed or there == self.constraint:
            return
        self.seq += 1
        self.constraint, self.audit = there, None
        self.violating = dict.fromkeys(self.violating, self.seq)

    def set_namespace(self, name: str, *, there: bool) -> None:
        """A namespace is made, or deleted with all that is in it."""
        self.seq += 1
        if there:
            self.namespaces.add(name)
            return
        self.namespaces.discard(name)
        self.set_pods(set(self.violating))
        self.reports = {key: said for key, said in self.reports.items() if key.namespace != name}
        self._since = {call: since for call, since in self._since.items() if call[0].namespace != name}

    def remove(self, origin: str) -> None:
        """A CRD is deleted, and its objects with it."""
        if origin in self.removed:
            return
        if origin == CONSTRAINTS:
            self.set_constraint(there=False)
        self.seq += 1
        self.removed.add(origin)
        self._forget_removed()

    def restore(self, origin: str) -> None:
        """It is there again, and empty."""
        if origin not in self.removed:
            return
        self.removed.discard(origin)
        self._made[origin] = self.seq
        for key in [key for key in self.reports if key.origin == origin]:
            self.write(key, None, seconds=self.seconds)
        self.seq += 1

    def mend(self, *, seconds: int) -> None:
        """All that cannot be read can be again."""
        for origin in ORIGINS:
            self.restore(origin)
        for key, said in list(self.reports.items()):
            self.write(key, {n: words for n, words in said.items() if words != "broken"}, seconds=seconds)

    # -- what it answers ------------------------------------------------------------------------------------------

    def objects(self, origin: str, *, impostor: bool) -> dict[SourceKey, bytes]:
        """The source objects of one API, as the API server writes them, or the impostor's."""
        if origin in self.removed:
            return {}
        if impostor:  # all is well there
            well = {key: dict.fromkeys(said, "pass") for key, said in self.reports.items() if key.origin == origin}
            return {key: msgspec.json.encode(self._report(key, said)) for key, said in well.items()}
        if origin == CONSTRAINTS:
            return {CONSTRAINT: msgspec.json.encode(self._constraint())} if self.constraint else {}
        found = {key: said for key, said in self.reports.items() if key.origin == origin}
        return {key: msgspec.json.encode(self._report(key, said)) for key, said in found.items()}

    def _report(self, key: SourceKey, said: Said) -> dict[str, Any]:
        results = []
        for label, words in said.items():
            case = CASES[label]
            results.append({
                "source": case.source,
                "policy": 7 if words == "broken" else case.policy,
                "rule": case.rule,
                "result": "pass" if words == "pass" else "fail",
                "message": words,
                "resources": [{"apiVersion": "apps/v1", "kind": case.kind, "namespace": case.namespace,
                               "name": case.name}],
                "timestamp": {"seconds": self.seconds},
            })  # fmt: skip
        return {"metadata": {"name": key.name, "namespace": key.namespace}, "results": results}

    def _constraint(self) -> dict[str, Any]:
        made: dict[str, Any] = {"kind": "K8sAllowedRepos", "metadata": {"name": CONSTRAINT.name}}
        if self.audit is not None:
            listed = [{"group": "", "version": "v1", "kind": "Pod", "namespace": CASES[pod].namespace,
                       "name": CASES[pod].name, "message": "m"} for pod in self.audit.listed]  # fmt: skip
            stamp = datetime.fromtimestamp(self.audit.seconds, UTC).isoformat()
            made["status"] = {"auditTimestamp": stamp, "totalViolations": self.audit.total, "violations": listed}
        return made

    # -- what is true of it ---------------------------------------------------------------------------------------

    def callers(self, label: str) -> list[tuple[str, int]]:
        """(API, since when) of all that calls for a violation now."""
        found = [
            (key.origin, max(since, self._left_until if key.origin == OLD_API else 0))
            for (key, said), since in self._since.items()
            if said == label and not (self.left and key.origin == OLD_API) and not self._denied(key, label)
        ]
        if self.constraint and label in self.violating:
            found.append((CONSTRAINTS, self.violating[label]))
        return found

    def _denied(self, key: SourceKey, label: str) -> bool:
        """Whether a result that cannot be read stands against another report that passes the same."""
        if self.reports.get(key, {}).get(label) != "broken":
            return False
        return any(said.get(label) == "pass" for said in self.reports.values())

    def made(self, origin: str) -> int:
        """Which API of this name it is: one that came back is another."""
        return self._made.get(origin, 0)

    def known_of_constraint(self) -> int:
        """Up to which change its status tells the truth."""
        return self.seq if self.audit is None else self.audit.seq

    def must(self) -> dict[str, str]:
        """The violations that a whole view shows, and what each reads like."""
        found: dict[str, list[str]] = {}
        for key, said in self.reports.items():
            for label, words in said.items():
                if words in MESSAGES and key.origin not in self.removed and not (self.left and key.origin == OLD_API):
                    found.setdefault(label, []).append(words)
        listed = self.audit.listed if self.constraint and self.audit else ()
        return {label: min(words) for label, words in found.items()} | dict.fromkeys(listed, "m")

    def may(self) -> set[str]:
        """The others that stay as they are: those that no view shows, and those that may be called for by what cannot
        be read.
        """
        reports = self.removed & set(REPORT_APIS) or any("broken" in said.values() for said in self.reports.values())
        whole = self.audit is not None and self.audit.total == len(self.audit.listed)
        unknown = {"kyverno"} if reports else set()
        if self.constraint and not whole:
            unknown.add("gatekeeper")
        held = {label for label, case in CASES.items() if case.source in unknown}
        return ({label for label in CASES if self.callers(label)} | held) - self.must().keys()
