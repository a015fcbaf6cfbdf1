"""Which object a result rolls up to: walks up the owners, and rewrites rule and message for the owner.

Written from the user documentation (docs/archiving.md, "Roll-up"); no code of the operator is used.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

Document = dict[str, Any]

EPHEMERAL = frozenset({"Pod", "ReplicaSet", "Job"})
"""Kinds that are created and deleted by their controller."""
DERIVED = EPHEMERAL | {"Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController"}
"""Kinds for which Kyverno derives rules from a Pod rule."""
PREFIXES = ("autogen-cronjob-", "autogen-")
RULE_LENGTHS = {"Pod": 63, "CronJob": 47}
"""How many characters of a rule's name a report on this kind can hold; 55 for the others."""
REVISION = "deployment.kubernetes.io/revision"
ENDED = frozenset({"Succeeded", "Failed"})


class Ref(NamedTuple):
    """An object. Empty namespace: cluster-scoped."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class OwnedObject:
    """A Pod, ReplicaSet or Job."""

    owner: Ref | None
    """Its controller, unless that is a Node."""
    created: int
    """Unix seconds."""
    revision: int

    @property
    def age(self) -> tuple[int, int]:
        """Sort key; the newest object has the greatest."""
        return self.revision, self.created


class OwnerGraph:
    """The Pods, ReplicaSets and Jobs of a cluster."""

    def __init__(self) -> None:
        self.objects: dict[Ref, OwnedObject] = {}
        self._children: defaultdict[Ref, set[Ref]] = defaultdict(set)

    def put(self, document: Document) -> None:
        """The object exists or has ended."""
        self.drop(_read(document)[0])
        if document.get("status", {}).get("phase") not in ENDED:
            self.remember(document)

    def remember(self, document: Document) -> None:
        """The object exists or existed."""
        ref, item = _read(document)
        self.objects[ref] = item
        if item.owner is not None:
            self._children[item.owner].add(ref)

    def drop(self, ref: Ref) -> None:
        """The object is deleted, if it existed."""
        item = self.objects.pop(ref, None)
        if item is not None and item.owner is not None:
            self._children[item.owner].discard(ref)

    def rolls_up_to(self, ref: Ref) -> Ref | None:
        """The object that a result on `ref` rolls up to; None: none."""
        if ref.kind not in EPHEMERAL:
            return ref
        item = self.objects.get(ref)
        if item is None or item.owner is None:
            return ref if item is not None else None
        if ref.kind != "Pod" and not self._children[ref]:
            others = (self.objects[one] for one in self._children[item.owner] if one.kind == ref.kind)
            if any(other.age > item.age for other in others):
                return None  # kept for a rollback
        owner = item.owner
        while owner.kind in EPHEMERAL:
            above = self.objects.get(owner)
            if above is None:
                return None  # being deleted
            if above.owner is None:
                return owner
            owner = above.owner
        return owner

    def contributors(self, subject: Ref) -> set[Ref]:
        """The objects that roll up to it."""
        return {ref for ref in self.objects if self.rolls_up_to(ref) == subject}


def _read(document: Document) -> tuple[Ref, OwnedObject]:
    metadata = document["metadata"]
    namespace: str = metadata["namespace"]
    owners = [o for o in metadata.get("ownerReferences", ()) if o.get("controller") and o["kind"] != "Node"]
    owner = Ref(owners[0]["kind"], namespace, owners[0]["name"]) if owners else None
    created = int(datetime.fromisoformat(metadata["creationTimestamp"]).timestamp())
    revision = int(metadata.get("annotations", {}).get(REVISION, 0))
    return Ref(document["kind"], namespace, metadata["name"]), OwnedObject(owner, created, revision)


def rule_name(source: str, rule: str, subject: Ref) -> str:
    """The rule under its author's name, cut to the length that every report rolled up to the subject can hold."""
    if source != "kyverno" or subject.kind not in DERIVED:
        return rule
    for prefix in PREFIXES:
        if rule.startswith(prefix):
            rule = rule.removeprefix(prefix)
            break
    return rule[: RULE_LENGTHS.get(subject.kind, 55)]


def without_object_name(message: str, about: Ref, subject: Ref) -> str:
    """The message without the name of an object that the next rollout replaces."""
    return message if about == subject else message.replace(about.name, f"<{about.kind.lower()}>")
