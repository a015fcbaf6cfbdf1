"""The violations that the engines' objects claim, read as docs/archiving.md ("Roll-up") describes it for users.

It shares no code with the operator. Each object is reduced to its relevant content when it is read, so that a rewrite
without news is no change. Pure: no I/O, no clock.
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
EPHEMERAL = frozenset({"Pod", "ReplicaSet", "Job"})
DERIVED = EPHEMERAL | {"Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController"}
"""Kinds for which Kyverno derives rules from a Pod rule."""
PREFIXES = ("autogen-cronjob-", "autogen-")
LABELS = {"": "MEDIUM", "info": "INFORMATIONAL"}
REVISION = "deployment.kubernetes.io/revision"


class BadResult(NamedTuple):
    """One bad result, and the object that it is about."""

    source: str
    policy: str
    rule: str
    severity: str
    about: Key


@dataclass(frozen=True, slots=True)
class Statement:
    """The relevant content of a report or a constraint."""

    results: frozenset[BadResult] = frozenset()
    cut: tuple[str, str] | None = None
    """Kind and name of a constraint whose list is shorter than its count, or that was not audited yet."""


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """A Pod, ReplicaSet or Job."""

    alive: bool
    owner: Key | None
    """Its controller, unless that is a Node."""
    age: tuple[int, str]
    """Sort key; the newest object has the greatest."""


@dataclass(frozen=True)
class Claims:
    severities: Mapping[Violation, frozenset[str]] = field(default_factory=dict)
    """The claimed violations, with the severity labels that their findings may have."""
    cut: frozenset[tuple[str, str]] = frozenset()
    """Constraints (policy, rule) whose list is incomplete."""

    def may(self, violation: Violation) -> bool:
        """Whether a finding of the violation may be active."""
        known = violation.source != "gatekeeper" or (violation.policy, violation.rule) not in self.cut
        return violation in self.severities or not known


def report(document: Document) -> Statement:
    scope = document.get("scope") or {}
    results = set()
    for result in document.get("results") or ():
        if result.get("result") in BAD:
            about = (result.get("resources") or [scope])[0]
            key = (about["kind"], about.get("namespace", ""), about["name"])
            label = _label(result.get("severity", ""))
            results.add(BadResult(result["source"], result["policy"], result.get("rule", ""), label, key))
    return Statement(frozenset(results))


def constraint(document: Document) -> Statement:
    kind, metadata, status = document["kind"], document["metadata"], document.get("status") or {}
    listed = status.get("violations") or ()
    stated = (metadata.get("annotations") or {}).get("policyhub.dev/severity")
    results = {
        BadResult(
            "gatekeeper",
            kind,
            metadata["name"],
            _label(stated or ""),
            (v["kind"], v.get("namespace", ""), v["name"]),
        )
        for v in listed
    }
    if status.get("totalViolations", 0) > len(listed):  # the notice of a truncated list is about the constraint itself
        results.add(BadResult("gatekeeper", kind, metadata["name"], "INFORMATIONAL", (kind, "", metadata["name"])))
    complete = "auditTimestamp" in status and status.get("totalViolations", 0) <= len(listed)
    return Statement(frozenset(results), None if complete else (kind, metadata["name"]))


def owned_object(document: Document) -> OwnedObject:
    metadata = document["metadata"]
    owners = [o for o in metadata.get("ownerReferences") or () if o.get("controller") and o["kind"] != "Node"]
    owner = (owners[0]["kind"], metadata["namespace"], owners[0]["name"]) if owners else None
    revision = int((metadata.get("annotations") or {}).get(REVISION, 0))
    alive = (document.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    return OwnedObject(alive, owner, (revision, metadata["creationTimestamp"]))


def read(statements: Iterable[Statement], owned: Mapping[Key, OwnedObject]) -> Claims:
    """All claims, rolled up to the controllers."""
    children: defaultdict[Key, list[Key]] = defaultdict(list)
    for key, one in owned.items():
        if one.owner is not None and one.alive:
            children[one.owner].append(key)
    found: defaultdict[Violation, set[str]] = defaultdict(set)
    cut = set()
    for statement in statements:
        if statement.cut is not None:
            cut.add(statement.cut)
        for result in statement.results:
            subject = _rolls_up_to(result.about, owned, children)
            if subject is not None:
                found[Violation(result.source, result.policy, _rule(result), *subject)].add(result.severity)
    return Claims({violation: frozenset(labels) for violation, labels in found.items()}, frozenset(cut))


def _rolls_up_to(about: Key, owned: Mapping[Key, OwnedObject], children: Mapping[Key, Collection[Key]]) -> Key | None:
    if about[0] not in EPHEMERAL:
        return about
    one = owned.get(about)
    if one is None or not one.alive:
        return None
    if one.owner is None:
        return about
    if about[0] != "Pod" and not children.get(about):
        siblings = [owned[key].age for key in children.get(one.owner, ()) if key[0] == about[0]]
        if any(age > one.age for age in siblings):
            return None  # kept for a rollback
    owner = one.owner
    while owner[0] in EPHEMERAL:
        above = owned.get(owner)
        if above is None:
            return None  # being deleted
        if above.owner is None:
            return owner
        owner = above.owner
    return owner


def _rule(result: BadResult) -> str:
    if result.source == "kyverno" and result.about[0] in DERIVED:
        for prefix in PREFIXES:
            if result.rule.startswith(prefix):
                return result.rule.removeprefix(prefix)
    return result.rule


def _label(severity: str) -> str:
    return LABELS.get(severity, severity.upper())
