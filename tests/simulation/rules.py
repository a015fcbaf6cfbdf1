"""The policies of the engines, and the oracle's own definition of a violation: source, policy, rule, and the object to
be fixed.

No code is shared with the operator. A rule about Pods has copies for their controllers (`autogen-…`), which are
one rule; what a Pod, ReplicaSet or Job violates is its topmost controller's to fix.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from dev import company
from tests.simulation.kinds import AUTOGEN, CRONJOB, POD, Document, Kind, owner_of
from tests.simulation.server import Server

KYVERNO, GATEKEEPER, TRIVY = "kyverno", "gatekeeper", "Trivy ConfigAudit"


class Violation(company.Violation):
    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.source} {self.policy}/{self.rule} of {self.kind} {self.namespace}/{self.name}"


@dataclass
class Policy:
    """A policy that looks for one flaw. Without `kinds` it is a Pod rule with autogen copies for controllers."""

    name: str
    rule: str
    flaw: str
    kinds: tuple[Kind, ...] = ()
    background: bool = True
    admission: bool = True
    severity: str = "medium"
    title: str = ""
    namespaces: frozenset[str] = frozenset()
    """Empty: all."""
    excepted: set[tuple[str, str]] = field(default_factory=set)
    """(namespace, name) of objects that a PolicyException exempts."""

    def excepts(self, namespace: str, name: str) -> bool:
        """An exempt controller exempts its Pods and ReplicaSets."""
        return any(namespace == ns and (name == of or name.startswith(f"{of}-")) for ns, of in self.excepted)

    def applies(self, kind: Kind, namespace: str) -> bool:
        return bool(self.rule_for(kind)) and (not self.namespaces or namespace in self.namespaces)

    def rule_for(self, kind: Kind) -> str:
        """The rule's name for a kind of object; empty: the rule does not match."""
        if self.kinds:
            return self.rule if kind in self.kinds else ""
        if kind == POD:
            return self.rule
        if kind == CRONJOB:
            return f"autogen-cronjob-{self.rule}"
        return f"autogen-{self.rule}" if kind in AUTOGEN else ""


Flaws = Callable[[str], frozenset[str]]
"""Of an object, by uid."""


def subject(server: Server, document: Document, *, templates: bool = False) -> tuple[str, str, str] | None:
    """Kind, namespace and name of the object that a violation rolls up to. None: it is not reported (a controlled
    ReplicaSet or Job itself, unless `templates` is set; a Pod that has ended).
    """
    if document.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return None
    if not templates and owner_of(document) is not None and document["kind"] in {"ReplicaSet", "Job"}:
        return None
    while True:
        owner = owner_of(document)
        if owner is None or document["kind"] not in {"Pod", "ReplicaSet", "Job"}:
            meta = document["metadata"]
            return document["kind"], meta.get("namespace", ""), meta["name"]
        found = _find(server, owner, document["metadata"]["namespace"])
        if found is None:
            return (
                None
                if owner["kind"] in {"ReplicaSet", "Job"}
                else (
                    owner["kind"],
                    document["metadata"]["namespace"],
                    owner["name"],
                )
            )
        document = found


def _find(server: Server, owner: Document, namespace: str) -> Document | None:
    for shelf in server.shelves.values():
        if shelf.kind.name == owner["kind"] and shelf.kind.api_version == owner["apiVersion"]:
            stored = shelf.objects.get((namespace, owner["name"]))
            return stored.document if stored is not None and stored.uid == owner["uid"] else None
    return None
