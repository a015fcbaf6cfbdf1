"""Which object a result counts for: the walk up the owners, and how a rule and a message read there.

Written from the pages that users read (docs/archiving.md, "Roll-up"); nothing here knows of the operator.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

Document = dict[str, Any]

PASSING = frozenset({"Pod", "ReplicaSet", "Job"})
"""Kinds that come and go with their controller."""
DERIVED = PASSING | {"Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController"}
"""Kinds that Kyverno derives rules for from a rule about Pods."""
PREFIXES = ("autogen-cronjob-", "autogen-")
ROOM = {"Pod": 63, "CronJob": 47}
"""Characters of a rule's name that a report on this kind can hold; 55 for the others."""
REVISION = "deployment.kubernetes.io/revision"
ENDED = frozenset({"Succeeded", "Failed"})


class Ref(NamedTuple):
    """An object. No namespace: a cluster-scoped one."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Thing:
    """A Pod, ReplicaSet or Job."""

    owner: Ref | None
    """Its controller, where it has one that is no Node."""
    created: int
    """Unix seconds."""
    revision: int

    @property
    def age(self) -> tuple[int, int]:
        """The greatest is the newest."""
        return self.revision, self.created


class Family:
    """The Pods, ReplicaSets and Jobs of a cluster."""

    def __init__(self) -> None:
        self.things: dict[Ref, Thing] = {}
        self._children: defaultdict[Ref, set[Ref]] = defaultdict(set)

    def put(self, document: Document) -> None:
        """It is there, or has ended."""
        self.drop(_read(document)[0])
        if document.get("status", {}).get("phase") not in ENDED:
            self.remember(document)

    def remember(self, document: Document) -> None:
        """It is there, or was."""
        ref, thing = _read(document)
        self.things[ref] = thing
        if thing.owner is not None:
            self._children[thing.owner].add(ref)

    def drop(self, ref: Ref) -> None:
        """It is gone, if it was there."""
        thing = self.things.pop(ref, None)
        if thing is not None and thing.owner is not None:
            self._children[thing.owner].discard(ref)

    def counts_for(self, ref: Ref) -> Ref | None:
        """What a result on it counts for; None: nothing."""
        if ref.kind not in PASSING:
            return ref
        thing = self.things.get(ref)
        if thing is None or thing.owner is None:
            return ref if thing is not None else None
        if ref.kind != "Pod" and not self._children[ref]:
            others = (self.things[one] for one in self._children[thing.owner] if one.kind == ref.kind)
            if any(other.age > thing.age for other in others):
                return None  # kept for a rollback
        owner = thing.owner
        while owner.kind in PASSING:
            above = self.things.get(owner)
            if above is None:
                return None  # on its way out
            if above.owner is None:
                return owner
            owner = above.owner
        return owner

    def living(self, subject: Ref) -> set[Ref]:
        """What counts for it."""
        return {ref for ref in self.things if self.counts_for(ref) == subject}


def _read(document: Document) -> tuple[Ref, Thing]:
    metadata = document["metadata"]
    namespace: str = metadata["namespace"]
    owners = [o for o in metadata.get("ownerReferences", ()) if o.get("controller") and o["kind"] != "Node"]
    owner = Ref(owners[0]["kind"], namespace, owners[0]["name"]) if owners else None
    created = int(datetime.fromisoformat(metadata["creationTimestamp"]).timestamp())
    revision = int(metadata.get("annotations", {}).get(REVISION, 0))
    return Ref(document["kind"], namespace, metadata["name"]), Thing(owner, created, revision)


def plain(source: str, rule: str, subject: Ref) -> str:
    """The rule as its author called it, as far as every report that counts for the subject can hold the name."""
    if source != "kyverno" or subject.kind not in DERIVED:
        return rule
    for prefix in PREFIXES:
        if rule.startswith(prefix):
            rule = rule.removeprefix(prefix)
            break
    return rule[: ROOM.get(subject.kind, 55)]


def unnamed(message: str, about: Ref, subject: Ref) -> str:
    """The message without the name of what the next rollout replaces."""
    return message if about == subject else message.replace(about.name, f"<{about.kind.lower()}>")
