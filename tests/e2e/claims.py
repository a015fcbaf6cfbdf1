"""What the engines' own objects call for, read as docs/archiving.md ("Roll-up") tells a user to read them.

It shares no code with the operator. An object is brought down to what counts as it comes in, so that a rewrite that
says nothing new is no change. Pure: no I/O, no clock.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.truth import Violation

Document = dict[str, Any]
Key = tuple[str, str, str]
"""Kind, namespace and name."""

BAD = frozenset({"fail", "warn", "error"})
ROLLED = frozenset({"Pod", "ReplicaSet", "Job"})
DERIVED = ROLLED | {"Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController"}
"""Kinds that Kyverno derives rules for from a rule about Pods."""
PREFIXES = ("autogen-cronjob-", "autogen-")
LABELS = {"": "MEDIUM", "info": "INFORMATIONAL"}
REVISION = "deployment.kubernetes.io/revision"


class Said(NamedTuple):
    """One bad result, of the object that it is about."""

    source: str
    policy: str
    rule: str
    severity: str
    about: Key


@dataclass(frozen=True, slots=True)
class Statement:
    """A report, or a constraint."""

    said: frozenset[Said] = frozenset()
    cut: tuple[str, str] | None = None
    """Kind and name of a constraint that lists less than it counts, or was not audited yet."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A Pod, ReplicaSet or Job."""

    alive: bool
    owner: Key | None
    """Its controller, where it has one that is no Node."""
    age: tuple[int, str]
    """The greatest is the newest."""


@dataclass(frozen=True)
class Claims:
    severities: Mapping[Violation, frozenset[str]] = field(default_factory=dict)
    """What is to be found, and the labels that a finding of it may have."""
    cut: frozenset[tuple[str, str]] = frozenset()
    """Constraints (policy, rule) of which nobody can know all."""

    def may(self, violation: Violation) -> bool:
        """Whether a finding of it may be active."""
        known = violation.source != "gatekeeper" or (violation.policy, violation.rule) not in self.cut
        return violation in self.severities or not known


def report(document: Document) -> Statement:
    scope = document.get("scope") or {}
    said = set()
    for result in document.get("results") or ():
        if result.get("result") in BAD:
            about = (result.get("resources") or [scope])[0]
            key = (about["kind"], about.get("namespace", ""), about["name"])
            label = _label(result.get("severity", ""))
            said.add(Said(result["source"], result["policy"], result.get("rule", ""), label, key))
    return Statement(frozenset(said))


def constraint(document: Document) -> Statement:
    kind, metadata, status = document["kind"], document["metadata"], document.get("status") or {}
    listed = status.get("violations") or ()
    stated = (metadata.get("annotations") or {}).get("policyhub.dev/severity")
    said = {
        Said(
            "gatekeeper",
            kind,
            metadata["name"],
            _label(stated or ""),
            (v["kind"], v.get("namespace", ""), v["name"]),
        )
        for v in listed
    }
    if status.get("totalViolations", 0) > len(listed):  # that is said of the constraint itself
        said.add(Said("gatekeeper", kind, metadata["name"], "INFORMATIONAL", (kind, "", metadata["name"])))
    whole = "auditTimestamp" in status and status.get("totalViolations", 0) <= len(listed)
    return Statement(frozenset(said), None if whole else (kind, metadata["name"]))


def thing(document: Document) -> Thing:
    metadata = document["metadata"]
    owners = [o for o in metadata.get("ownerReferences") or () if o.get("controller") and o["kind"] != "Node"]
    owner = (owners[0]["kind"], metadata["namespace"], owners[0]["name"]) if owners else None
    revision = int((metadata.get("annotations") or {}).get(REVISION, 0))
    alive = (document.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    return Thing(alive, owner, (revision, metadata["creationTimestamp"]))


def read(statements: Iterable[Statement], things: Mapping[Key, Thing]) -> Claims:
    """All of it, once it counts for the controllers."""
    children: defaultdict[Key, list[Key]] = defaultdict(list)
    for key, one in things.items():
        if one.owner is not None and one.alive:
            children[one.owner].append(key)
    found: defaultdict[Violation, set[str]] = defaultdict(set)
    cut = set()
    for statement in statements:
        if statement.cut is not None:
            cut.add(statement.cut)
        for said in statement.said:
            subject = _counts_for(said.about, things, children)
            if subject is not None:
                found[Violation(said.source, said.policy, _rule(said), *subject)].add(said.severity)
    return Claims({violation: frozenset(labels) for violation, labels in found.items()}, frozenset(cut))


def _counts_for(about: Key, things: Mapping[Key, Thing], children: Mapping[Key, Collection[Key]]) -> Key | None:
    if about[0] not in ROLLED:
        return about
    one = things.get(about)
    if one is None or not one.alive:
        return None
    if one.owner is None:
        return about
    if about[0] != "Pod" and not children.get(about):
        siblings = [things[key].age for key in children.get(one.owner, ()) if key[0] == about[0]]
        if any(age > one.age for age in siblings):
            return None  # kept for a rollback
    owner = one.owner
    while owner[0] in ROLLED:
        above = things.get(owner)
        if above is None:
            return None  # on its way out
        if above.owner is None:
            return owner
        owner = above.owner
    return owner


def _rule(said: Said) -> str:
    if said.source == "kyverno" and said.about[0] in DERIVED:
        for prefix in PREFIXES:
            if said.rule.startswith(prefix):
                return said.rule.removeprefix(prefix)
    return said.rule


def _label(severity: str) -> str:
    return LABELS.get(severity, severity.upper())
